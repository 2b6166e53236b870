//! Figures, as people read them.

use std::fmt::Write as _;

use crate::stats::Series;

/// What is wished for. Missing one is a line in the report and nothing else: no test asserts a time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At most so many times the peer.
    TimesAtMost(f64),
    /// At least so many times the peer.
    TimesAtLeast(f64),
    /// A median of at most so many seconds.
    MedianWithin(f64),
    /// A 99th percentile of at most so many seconds.
    P99Within(f64),
}

/// What the values of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Time,
    /// So many a second.
    Rate,
    /// Bytes.
    Bytes,
}

/// One thing that was measured.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    what: String,
    unit: Unit,
    values: Series,
    ratio: Option<Series>,
    goal: Option<Goal>,
}

impl Row {
    /// Times.
    pub(crate) fn time(what: impl Into<String>, values: Series) -> Self {
        Self { what: what.into(), unit: Unit::Time, values, ratio: None, goal: None }
    }

    /// Rates.
    pub(crate) fn rate(what: impl Into<String>, values: Series) -> Self {
        Self { unit: Unit::Rate, ..Self::time(what, values) }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(what: impl Into<String>, values: Series) -> Self {
        Self { unit: Unit::Bytes, ..Self::time(what, values) }
    }

    /// Beside the peer.
    pub(crate) fn against(self, ratio: Series) -> Self {
        Self { ratio: Some(ratio), ..self }
    }

    /// With what is wished for.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    fn verdict(&self) -> Option<(String, bool)> {
        let ratio = self.ratio.as_ref().map(Series::median);
        Some(match self.goal? {
            Goal::TimesAtMost(times) => (format!("at most {times} x"), ratio? <= times),
            Goal::TimesAtLeast(times) => (format!("at least {times} x"), ratio? >= times),
            Goal::MedianWithin(most) => (format!("median {}", seconds(most)), self.values.median() <= most),
            Goal::P99Within(most) => (format!("p99 {}", seconds(most)), self.values.quantile(0.99) <= most),
        })
    }

    fn value(&self, value: f64) -> String {
        match self.unit {
            Unit::Time => seconds(value),
            Unit::Rate => format!("{value:.0}/s"),
            Unit::Bytes => format!("{:.0} MiB", value / f64::from(1 << 20)),
        }
    }
}

/// What one benchmark found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// What was done, and how often.
    pub(crate) title: String,
    /// The figures.
    pub(crate) rows: Vec<Row>,
    /// What must be known to read them.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        let wide = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut line = |args: std::fmt::Arguments<'_>| {
            text.write_fmt(args).and_then(|()| text.write_char('\n')).expect("a string takes all");
        };
        line(format_args!(
            "  {:wide$}  {:>10} {:>10} {:>10} {:>10}  {:>8} {:>17}  goal",
            "", "median", "p10", "p90", "p99", "by peer", "p10 to p90",
        ));
        for row in &self.rows {
            let at = |part| row.value(row.values.quantile(part));
            let ratio = row.ratio.as_ref().map_or_else(Default::default, |ratio| {
                let range = format!("{:.2} to {:.2}", ratio.quantile(0.1), ratio.quantile(0.9));
                (format!("{:.2} x", ratio.median()), range)
            });
            let goal = row.verdict().map_or_else(String::new, |(goal, met)| {
                format!("{goal}: {}", if met { "met" } else { "MISSED" })
            });
            line(format_args!(
                "  {:wide$}  {:>10} {:>10} {:>10} {:>10}  {:>8} {:>17}  {goal}",
                row.what,
                at(0.5),
                at(0.1),
                at(0.9),
                at(0.99),
                ratio.0,
                ratio.1,
            ));
        }
        for note in &self.notes {
            line(format_args!("  note: {note}"));
        }
        // Columns that are empty leave blanks behind.
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// Seconds, in the unit that leaves three figures.
pub(crate) fn seconds(value: f64) -> String {
    match value.abs() {
        small if small < 1e-3 => format!("{:.1} us", value * 1e6),
        middle if middle < 1.0 => format!("{:.2} ms", value * 1e3),
        _ => format!("{value:.3} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_missed_in_words() {
        let times = Series::of([0.002, 0.004, 0.003]);
        let row = Row::time("ours", times).against(Series::of([3.0, 3.0]));
        let report = |row| Report { title: "store".into(), rows: vec![row], notes: vec![] }.text();
        assert!(report(row.clone().goal(Goal::TimesAtMost(2.5))).contains("at most 2.5 x: MISSED"));
        assert!(report(row.clone().goal(Goal::TimesAtLeast(2.5))).contains("at least 2.5 x: met"));
        let text = report(row.goal(Goal::P99Within(0.01)));
        assert!(text.contains("3.00 ms") && text.ends_with("p99 10.00 ms: met\n"), "{text}");
    }

    #[test]
    fn three_figures() {
        assert_eq!(seconds(0.000_123_4), "123.4 us");
        assert_eq!(seconds(-0.5), "-500.00 ms");
        assert_eq!(seconds(12.3456), "12.346 s");
    }
}
