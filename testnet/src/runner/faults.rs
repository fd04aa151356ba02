//! What is done to which node at the start of which slot.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::options::{Misbehaviour, Options};

/// One thing done to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL.
    Kill,
    /// Start it again.
    Restart,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
    /// Its beacon node answers this late from now on.
    SlowBeacon(Duration),
    /// Its beacon node misbehaves like this from now on, or no more.
    Beacon(Option<Misbehaviour>),
}

/// All faults of a run, by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule(BTreeMap<u64, Vec<(usize, Fault)>>);

impl Schedule {
    /// The schedule that `options` describe. Within a slot things end before others begin.
    pub(super) fn new(options: &Options) -> Self {
        let mut schedule = Schedule::default();
        options
            .pauses
            .iter()
            .for_each(|pause| schedule.add(pause.until, pause.node, Fault::Resume));
        let ends = options.slow_beacons.iter().map(|slow| slow.during);
        ends.for_each(|during| {
            schedule.add(during.until, during.node, Fault::SlowBeacon(Duration::ZERO))
        });
        options.beacon_faults.iter().for_each(|fault| {
            schedule.add(fault.during.until, fault.during.node, Fault::Beacon(None));
        });
        options
            .kills
            .iter()
            .for_each(|kill| schedule.add(kill.slot, kill.node, Fault::Kill));
        options
            .restarts
            .iter()
            .for_each(|restart| schedule.add(restart.slot, restart.node, Fault::Restart));
        options
            .pauses
            .iter()
            .for_each(|pause| schedule.add(pause.from, pause.node, Fault::Pause));
        for slow in &options.slow_beacons {
            schedule.add(
                slow.during.from,
                slow.during.node,
                Fault::SlowBeacon(slow.delay),
            );
        }
        options.beacon_faults.iter().for_each(|fault| {
            let how = Fault::Beacon(Some(fault.how));
            schedule.add(fault.during.from, fault.during.node, how);
        });
        schedule
    }

    fn add(&mut self, slot: u64, node: usize, fault: Fault) {
        self.0.entry(slot).or_default().push((node, fault));
    }

    /// What to do at the start of a slot.
    pub(super) fn at(&self, slot: u64) -> &[(usize, Fault)] {
        self.0.get(&slot).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn faults_come_at_their_slots_and_intervals_end() {
        let options = Options {
            kills: vec!["2@6".parse().unwrap()],
            restarts: vec!["2@14".parse().unwrap()],
            pauses: vec!["1@6..10".parse().unwrap()],
            slow_beacons: vec!["0@5..9:2s".parse().unwrap()],
            ..Options::default()
        };
        let schedule = Schedule::new(&options);
        assert_eq!(
            schedule.at(5),
            [(0, Fault::SlowBeacon(Duration::from_secs(2)))]
        );
        assert_eq!(schedule.at(6), [(2, Fault::Kill), (1, Fault::Pause)]);
        assert_eq!(schedule.at(9), [(0, Fault::SlowBeacon(Duration::ZERO))]);
        assert_eq!(schedule.at(10), [(1, Fault::Resume)]);
        assert_eq!(schedule.at(14), [(2, Fault::Restart)]);
        assert!(schedule.at(7).is_empty());
    }

    #[test]
    fn a_fault_that_follows_another_at_once_wins() {
        let slow_beacons = vec!["0@5..9:2s".parse().unwrap(), "0@9..12:1s".parse().unwrap()];
        let schedule = Schedule::new(&Options {
            slow_beacons,
            ..Options::default()
        });
        let last = schedule.at(9).last().unwrap();
        assert_eq!(*last, (0, Fault::SlowBeacon(Duration::from_secs(1))));
    }
}
