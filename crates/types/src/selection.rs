//! Who aggregates: a validator's own selection proof decides (consensus specs, `is_aggregator`).

use libssz_merkle::{Sha2Hasher, Sha256Hasher};

use crate::{ListSizes, SignatureBytes};

/// Whether the holder of a selection proof aggregates for a committee of this length.
pub fn is_attestation_aggregator(
    proof: &SignatureBytes,
    committee_length: u64,
    target_aggregators: u64,
) -> bool {
    is_selected(proof, committee_length, target_aggregators)
}

/// Whether the holder of a selection proof aggregates for a sync subcommittee.
pub fn is_sync_aggregator(proof: &SignatureBytes, sizes: &ListSizes) -> bool {
    let target = sizes.target_aggregators_per_sync_subcommittee;
    is_selected(proof, sizes.sync_subcommittee_size(), target)
}

/// One in so many proofs is selected that a group of this size has about the target.
fn is_selected(proof: &SignatureBytes, size: u64, target: u64) -> bool {
    let modulo = size.checked_div(target).unwrap_or(0).max(1);
    let hash = Sha2Hasher.hash(&proof.0);
    let (first, _) = hash.split_first_chunk::<8>().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first).is_multiple_of(modulo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_committees_select_everybody() {
        for length in [0, 1, 15, 16, 31] {
            assert!(is_attestation_aggregator(
                &SignatureBytes([7; 96]),
                length,
                16
            ));
        }
    }

    #[test]
    fn large_committees_select_about_the_target() {
        let proofs = (0..=255).map(|byte| SignatureBytes([byte; 96]));
        let selected = proofs
            .filter(|proof| is_attestation_aggregator(proof, 256, 16))
            .count();
        assert!(
            (4..40).contains(&selected),
            "{selected} of 256 selected, 16 expected"
        );
    }
}
