//! The order of a build's actions. Pure: it starts nothing and knows no clock.
//!
//! There are no phases: an action is ready when what it needs is done, and of those ready the one with the longest
//! path to the end goes first.

use std::collections::BinaryHeap;

use thiserror::Error;

/// An action, to the order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// The actions whose outputs it needs.
    pub(crate) after: Vec<usize>,
    /// What it takes, in any unit that is the same for all.
    pub(crate) cost: u64,
}

/// Actions need each other in a circle, or one that there is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the actions of the build do not form an order: {0:?} cannot be reached")]
pub(crate) struct NoOrder(pub(crate) Vec<usize>);

/// What is ready, what runs, what is done.
#[derive(Debug)]
pub(crate) struct Order {
    waits_for: Vec<usize>,
    unblocks: Vec<Vec<usize>>,
    path: Vec<u64>,
    ready: BinaryHeap<(u64, std::cmp::Reverse<usize>)>,
    running: usize,
    done: usize,
    stopped: bool,
}

impl Order {
    /// The order of these actions.
    pub(crate) fn new(nodes: &[Node]) -> Result<Self, NoOrder> {
        let mut unblocks = vec![Vec::new(); nodes.len()];
        let mut waits_for = vec![0; nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            for &before in &node.after {
                if before >= nodes.len() {
                    return Err(NoOrder(vec![at]));
                }
                unblocks[before].push(at);
                waits_for[at] += 1;
            }
        }
        let path = paths(nodes, &unblocks, &waits_for)?;
        let mut order =
            Self { waits_for, unblocks, path, ready: BinaryHeap::new(), running: 0, done: 0, stopped: false };
        for at in 0..nodes.len() {
            if order.waits_for[at] == 0 {
                order.make_ready(at);
            }
        }
        Ok(order)
    }

    fn make_ready(&mut self, at: usize) {
        self.ready.push((self.path[at], std::cmp::Reverse(at)));
    }

    /// An action to start now; `None` where none is ready or the build was stopped.
    pub(crate) fn start(&mut self) -> Option<usize> {
        if self.stopped {
            return None;
        }
        let (_, std::cmp::Reverse(at)) = self.ready.pop()?;
        self.running += 1;
        Some(at)
    }

    /// The cost of the longest path from an action to the end, its own included.
    pub(crate) fn path(&self, at: usize) -> u64 {
        self.path[at]
    }

    /// An action that was started is done.
    pub(crate) fn done(&mut self, at: usize) {
        self.running -= 1;
        self.done += 1;
        for next in std::mem::take(&mut self.unblocks[at]) {
            self.waits_for[next] -= 1;
            if self.waits_for[next] == 0 {
                self.make_ready(next);
            }
        }
    }

    /// An action that was started failed: nothing more is started.
    pub(crate) fn failed(&mut self) {
        self.running -= 1;
        self.stopped = true;
    }

    /// How many run.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// Whether all is done.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.done == self.waits_for.len()
    }
}

/// The cost of the longest path from each action to the end, its own included.
fn paths(nodes: &[Node], unblocks: &[Vec<usize>], waits_for: &[usize]) -> Result<Vec<u64>, NoOrder> {
    let mut waits_for = waits_for.to_vec();
    let mut sorted: Vec<usize> = (0..nodes.len()).filter(|&at| waits_for[at] == 0).collect();
    let mut next = 0;
    while let Some(&at) = sorted.get(next) {
        next += 1;
        for &later in &unblocks[at] {
            waits_for[later] -= 1;
            if waits_for[later] == 0 {
                sorted.push(later);
            }
        }
    }
    if sorted.len() < nodes.len() {
        return Err(NoOrder((0..nodes.len()).filter(|at| !sorted.contains(at)).collect()));
    }
    let mut path = vec![0_u64; nodes.len()];
    for &at in sorted.iter().rev() {
        let rest = unblocks[at].iter().map(|&later| path[later]).max().unwrap_or(0);
        path[at] = nodes[at].cost.saturating_add(rest);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(after: &[usize], cost: u64) -> Node {
        Node { after: after.to_vec(), cost }
    }

    #[test]
    fn the_longest_path_first_and_no_phases() {
        // 0 and 1 are compiled for the archive 3; 2 goes to the link 4 itself; 4 also needs 3.
        let nodes = [node(&[], 1), node(&[], 5), node(&[], 3), node(&[0, 1], 1), node(&[2, 3], 1)];
        let mut order = Order::new(&nodes).unwrap();
        assert_eq!([order.start(), order.start()], [Some(1), Some(2)]);
        order.done(1);
        assert_eq!([order.start(), order.start()], [Some(0), None], "3 waits for 0");
        order.done(0);
        assert_eq!(order.start(), Some(3), "2 runs yet");
        order.done(3);
        assert_eq!(order.start(), None);
        order.done(2);
        assert_eq!(order.start(), Some(4));
        order.done(4);
        assert!(order.is_complete());
    }

    #[test]
    fn a_failure_starts_nothing_more() {
        let nodes = [node(&[], 2), node(&[], 1), node(&[], 1)];
        let mut order = Order::new(&nodes).unwrap();
        order.start();
        order.start();
        order.failed();
        assert_eq!(order.start(), None);
        assert_eq!(order.running(), 1, "what runs is waited for");
        order.done(1);
        assert!(!order.is_complete());
    }

    #[test]
    fn a_circle_is_refused() {
        let nodes = [node(&[], 1), node(&[2], 1), node(&[1], 1)];
        assert_eq!(Order::new(&nodes).unwrap_err(), NoOrder(vec![1, 2]));
        assert!(Order::new(&[node(&[7], 1)]).is_err());
    }

    proptest! {
        #[test]
        fn each_runs_once_and_after_what_it_needs(
            edges in prop::collection::vec((0..30_usize, 0..30_usize), 0..80),
            costs in prop::collection::vec(0..9_u64, 30),
            workers in 1..5_usize,
        ) {
            let mut nodes: Vec<_> = costs.iter().map(|&cost| node(&[], cost)).collect();
            for (a, b) in edges {
                if a < b {
                    nodes[b].after.push(a);
                }
            }
            let mut order = Order::new(&nodes).unwrap();
            let mut ended = vec![false; nodes.len()];
            let mut running: Vec<usize> = Vec::new();
            while !order.is_complete() {
                while running.len() < workers && let Some(at) = order.start() {
                    prop_assert!(!ended[at] && !running.contains(&at));
                    prop_assert!(nodes[at].after.iter().all(|&before| ended[before]));
                    running.push(at);
                }
                prop_assert!(!running.is_empty(), "nothing runs and not all is done");
                let at = running.remove(0);
                ended[at] = true;
                order.done(at);
            }
        }
    }
}
