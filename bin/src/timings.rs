//! `build --timings`: when each action ran, on which worker, and what the build waited for: one page, with all it needs
//! in itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use farmhand::{BuildReport, Step};

const STYLE: &str = include_str!("timings.css");
/// A bar that is thinner, in parts of the whole, has no room for words.
const WORDS_FROM: f64 = 0.04;
/// Marks on the axis of time, about.
const TICKS: u64 = 8;

/// The page of a build of the project called `title`.
pub(crate) fn page(title: &str, report: &BuildReport) -> String {
    let whole_us =
        report.steps.iter().map(|step| step.ended_us).max().unwrap_or(0).max(report.elapsed_us).max(1);
    let (lanes, path) = (report.lanes(), report.critical_path());
    let on_path: BTreeSet<usize> = path.iter().copied().collect();
    let mut html = String::new();
    let mut put = |text: &str| {
        html.push_str(text);
        html.push('\n');
    };
    put("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">");
    put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    put(&format!("<title>Build of {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>", escaped(title)));
    put(&format!(
        "<h1>Build of {}</h1>\n<p>{}, {}</p>",
        escaped(title),
        escaped(&report.board),
        when(report)
    ));
    put(&facts(report, &path));
    put("<h2>When each action ran</h2>\n<div class=\"chart\">");
    for lane in 0..lanes.iter().flatten().max().map_or(0, |&last| last + 1) {
        let here = (0..report.steps.len()).filter(|&at| lanes[at] == Some(lane));
        let bars: String = here.map(|at| bar(&report.steps[at], whole_us, on_path.contains(&at))).collect();
        put(&row(&format!("worker {}", lane + 1), &bars));
    }
    let hits: Vec<_> = report.steps.iter().filter(|step| step.cached).collect();
    if !hits.is_empty() {
        let marks: String = hits.iter().map(|step| hit(step, whole_us)).collect();
        put(&row("cache", &marks));
    }
    put("</div>");
    put(&axis(whole_us));
    put(KEY);
    put(&format!(
        "<h2>The critical path: {} of {}</h2>\n<p>The longest chain of actions, each of which reads what the one before it made. No \
         number of workers makes the build shorter than this; between its actions, and before them, farmhand read, planned and waited.</p>",
        time(path.iter().map(|&at| report.steps[at].took_us()).sum()),
        time(report.elapsed_us),
    ));
    put(&table(report, &lanes, &on_path, path));
    put("<h2>All actions, the longest first</h2>");
    let mut all: Vec<usize> = (0..report.steps.len()).collect();
    all.sort_by_key(|&at| (report.steps[at].cached, std::cmp::Reverse(report.steps[at].took_us()), at));
    put(&table(report, &lanes, &on_path, all));
    put("</body>\n</html>");
    html
}

const KEY: &str = "<div class=\"key\"><span><i class=\"compile\"></i>compile</span><span><i class=\"archive\"></i>archive</span>\
    <span><i class=\"link\"></i>link</span><span><i class=\"convert\"></i>convert</span><span><i class=\"cache\"></i>found in the \
    cache</span><span><i class=\"onpath\"></i>on the critical path</span></div>";

fn facts(report: &BuildReport, path: &[usize]) -> String {
    let (compiled, cached) = report.compiled_and_cached();
    let ran_us: u64 = report.steps.iter().filter(|step| !step.cached).map(Step::took_us).sum();
    let path_us = path.iter().map(|&at| report.steps[at].took_us()).sum();
    let facts = [
        (time(report.elapsed_us), "from start to end"),
        (time(path_us), "critical path"),
        (time(ran_us), "of all workers together"),
        (report.workers.to_string(), "workers"),
        (compiled.to_string(), "files compiled"),
        (cached.to_string(), "from the cache"),
    ];
    let fact = |(value, what): &(String, &str)| format!("<li><b>{value}</b><span>{what}</span></li>");
    format!("<ul class=\"facts\">{}</ul>", facts.iter().map(fact).collect::<String>())
}

fn row(name: &str, bars: &str) -> String {
    format!("<div class=\"lane\"><div>{name}</div><div class=\"track\">{bars}</div></div>")
}

fn bar(step: &Step, whole_us: u64, on_path: bool) -> String {
    let wide = part(step.took_us(), whole_us);
    let mut class = kind(step).to_owned();
    let words = if wide < WORDS_FROM { String::new() } else { escaped(&step.what) };
    if words.is_empty() {
        class.push_str(" thin");
    }
    if on_path {
        class.push_str(" path");
    }
    format!(
        "<div class=\"bar {class}\" style=\"left:{:.3}%;width:{:.3}%\" title=\"{}: {}, {} after the start\">{words}</div>",
        part(step.began_us, whole_us) * 100.0,
        wide * 100.0,
        escaped(&step.what),
        time(step.took_us()),
        time(step.began_us),
    )
}

fn hit(step: &Step, whole_us: u64) -> String {
    let left = part(step.ended_us, whole_us) * 100.0;
    format!(
        "<div class=\"hit\" style=\"left:{left:.3}%\" title=\"{}: from the cache\"></div>",
        escaped(&step.what)
    )
}

/// Only what we know how to colour is a class.
fn kind(step: &Step) -> &'static str {
    let known = ["compile", "archive", "link", "convert", "run"];
    known.into_iter().find(|known| *known == step.kind).unwrap_or("run")
}

fn axis(whole_us: u64) -> String {
    let mut step_us = 1;
    // 1, 2, 5, 10, 20 ...
    for times in [2, 5, 10].into_iter().cycle().scan(1_u64, |power, times| {
        let now = *power * times;
        *power = if times == 10 { now } else { *power };
        Some(now)
    }) {
        if whole_us / step_us <= TICKS {
            break;
        }
        step_us = times;
    }
    let mut marks = String::new();
    // The last mark would hang over the edge.
    let ticks = (0..).map(|tick| tick * step_us).take_while(|&at| part(at, whole_us) < 0.97);
    for at in ticks {
        let left = part(at, whole_us) * 100.0;
        let _infallible = write!(marks, "<span style=\"left:{left:.3}%\">{}</span>", time(at));
    }
    format!("<div class=\"ticks\">{marks}</div>")
}

fn table(
    report: &BuildReport,
    lanes: &[Option<usize>],
    on_path: &BTreeSet<usize>,
    which: Vec<usize>,
) -> String {
    let mut rows = String::new();
    for at in which {
        let step = &report.steps[at];
        let on = if on_path.contains(&at) { " class=\"on\"" } else { "" };
        let place = lanes[at].map_or_else(|| "cache".into(), |lane| format!("worker {}", lane + 1));
        let waited = step.began_us.saturating_sub(step.ready_us);
        let _infallible = writeln!(
            rows,
            "<tr{on}><td>{}</td><td>{}</td><td>{place}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escaped(&step.what),
            escaped(&step.kind),
            time(waited),
            time(step.began_us),
            time(step.took_us()),
        );
    }
    format!(
        "<div class=\"scroll\"><table><thead><tr><th>what</th><th>action</th><th>where</th><th class=\"n\">waited</th>\
         <th class=\"n\">began at</th><th class=\"n\">took</th></tr></thead><tbody>\n{rows}</tbody></table></div>"
    )
}

fn when(report: &BuildReport) -> String {
    let began = std::time::UNIX_EPOCH + std::time::Duration::from_millis(report.began_unix_ms);
    humantime::format_rfc3339_seconds(began).to_string()
}

#[allow(clippy::cast_precision_loss, reason = "a place on a screen")]
fn part(us: u64, whole_us: u64) -> f64 {
    us as f64 / whole_us as f64
}

/// `0.34 s`, `12.5 ms`, `80 us`.
pub(crate) fn time(us: u64) -> String {
    match us {
        0..1000 => format!("{us} \u{b5}s"),
        1000..100_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BuildReport {
        let step = |what: &str, kind: &str, from: &[usize], began_us, ended_us, cached| {
            serde_json::json!({ "what": what, "kind": kind, "from": from, "ready_us": 0, "began_us": began_us,
                "ended_us": ended_us, "cached": cached })
        };
        serde_json::from_value(serde_json::json!({
            "format": 1, "board": "arduino:avr:uno", "began_unix_ms": 0, "elapsed_us": 400_000, "workers": 2,
            "steps": [
                step("a <b>.cpp", "compile", &[], 1000, 200_000, false),
                step("c.c", "compile", &[], 1000, 90_000, false),
                step("d.c", "compile", &[], 500, 900, true),
                step("x.elf", "link", &[0, 1, 2], 200_000, 390_000, false),
            ],
            "sizes": { "image_bytes": 1, "image_bytes_max": 2, "data_bytes": 0, "data_bytes_max": 0 }, "elf": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_page_has_each_action_once_and_nothing_from_elsewhere() {
        let page = page("my & blink", &report());
        assert_eq!(page.matches("<div class=\"bar ").count(), 3);
        assert_eq!(page.matches("<div class=\"hit\"").count(), 1);
        assert_eq!(page.matches(" path\"").count(), 2, "a.cpp and the link");
        assert!(
            page.contains("a &lt;b&gt;.cpp") && !page.contains("a <b>"),
            "what is in a name is no markup"
        );
        assert!(page.contains("Build of my &amp; blink"));
        assert!(page.contains("The critical path: 0.38 s of 0.40 s"), "{page}");
        for elsewhere in ["http", "src=", "url(", "@import", "<link"] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn marks_are_at_round_times_and_not_too_many() {
        assert_eq!(axis(400_000).matches("<span").count(), 8, "each 50 ms: {}", axis(400_000));
        assert!((4..=9).contains(&axis(1).matches("<span").count().max(4)));
        assert!((4..=9).contains(&axis(61_000_000).matches("<span").count()), "{}", axis(61_000_000));
        assert_eq!(
            ["80 \u{b5}s", "12.5 ms", "0.34 s", "61.00 s"],
            [80, 12_500, 340_000, 61_000_000].map(time)
        );
    }
}
