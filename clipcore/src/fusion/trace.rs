use super::memory::{Item, Memory};
use super::{FusionSetup, Role};
use crate::Timestamp;
use crate::detector::Signal;

/// What each group's remembered evidence is worth at each of `ticks`, unweighted; signals and ticks in order.
pub(crate) fn group_llrs(
    setup: &FusionSetup,
    signals: &[Signal],
    ticks: impl Iterator<Item = Timestamp>,
) -> Vec<Vec<f64>> {
    let mut memories = vec![Memory::default(); setup.groups.len()];
    let mut signals = signals.iter().peekable();
    ticks
        .map(|now| {
            while let Some(signal) = signals.next_if(|s| s.at <= now) {
                let calibrated = setup.calibrate(&signal.detector, &signal.label, signal.score);
                if let Some((group, llr, _)) = calibrated {
                    memories[group].push(Item::new(signal, llr));
                }
            }
            let groups = setup.groups.iter().zip(&mut memories);
            groups
                .map(|(group, memory)| {
                    memory.advance(now, group);
                    memory.best(now, group).map_or(0.0, |(_, llr)| llr)
                })
                .collect()
        })
        .collect()
}

/// The role of the group that a signal of this kind belongs to.
pub(crate) fn role_of(setup: &FusionSetup, calibration: usize) -> Role {
    setup.groups[setup.group_of[calibration]].role
}
