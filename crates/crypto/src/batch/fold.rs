//! Many rows of public keys folded into one by random weights.
//!
//! Linear relations between the keys of a row (that shares lie on one polynomial, say) hold for the
//! weighted sum of rows if they hold for each. If some row breaks one, the sum keeps it with
//! probability below 2^-127, since weights are 128-bit and keys of prime order. So one check of
//! the sum stands for all rows.

use blst::{blst_p1, blst_p1_affine};

use super::{Randomness, weight};
use crate::bls::PublicKey;
use crate::raw::Point;

/// The sum of all rows, each times its own random weight, column by column. As long as the shortest
/// row; the columns beyond are left out.
///
/// `None` if there is nothing to fold, no randomness to fold it with, or if a column cancels out,
/// which those of honest rows do not: then rows are to be looked at one by one.
pub fn fold_rows(rows: &[&[PublicKey]]) -> Option<Vec<PublicKey>> {
    fold(rows, Randomness::from_os())
}

fn fold(rows: &[&[PublicKey]], randomness: Randomness) -> Option<Vec<PublicKey>> {
    let Randomness::Generator(mut rng) = randomness else {
        return None;
    };
    let columns = rows.iter().map(|row| row.len()).min()?;
    let weights: Vec<[u8; 16]> = rows.iter().map(|_| weight(&mut rng)).collect();
    (0..columns)
        .map(|column| {
            let points: Vec<blst_p1_affine> =
                rows.iter().map(|row| *row[column].affine()).collect();
            let sum = blst_p1::sum_of_products(&points, weights.as_flattened(), 16);
            PublicKey::from_sum(&sum).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::ShareIndex;
    use crate::bls::SecretKey;
    use crate::shares::{recombine_public, split};

    /// Per row a group key and its four shares, three of which suffice.
    fn rows(count: usize) -> Vec<Vec<PublicKey>> {
        let mut rng = ChaCha20Rng::seed_from_u64(13);
        (0..count)
            .map(|_| {
                let secret = SecretKey::generate(&mut rng);
                let shares = split(&secret, 3, 4, &mut rng).unwrap();
                std::iter::once(secret.public_key())
                    .chain(shares.iter().map(|(_, share)| share.public_key()))
                    .collect()
            })
            .collect()
    }

    fn folded(rows: &[Vec<PublicKey>]) -> Vec<PublicKey> {
        fold_rows(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
    }

    fn recombines(row: &[PublicKey]) -> bool {
        let shares: Vec<_> = (0..3)
            .map(|peer| (ShareIndex::from_peer(peer), &row[1 + peer]))
            .collect();
        recombine_public(&shares).unwrap() == row[0]
    }

    #[test]
    fn shares_of_folded_rows_recombine_to_the_folded_key() {
        for count in [1, 2, 40] {
            assert!(recombines(&folded(&rows(count))), "{count}");
        }
    }

    #[test]
    fn one_wrong_share_spoils_the_fold() {
        let mut rows = rows(40);
        rows[17][2] = rows[18][2];
        assert!(!recombines(&folded(&rows)));
    }

    #[test]
    fn errors_that_cancel_in_a_plain_sum_do_not_pass() {
        let mut rows = rows(2);
        let swapped = rows[0][2];
        rows[0][2] = rows[1][2];
        rows[1][2] = swapped;
        assert!(!recombines(&folded(&rows)));
    }

    #[test]
    fn nothing_without_rows_or_randomness_and_no_column_beyond_the_shortest_row() {
        let mut rows = rows(2);
        assert_eq!(fold_rows(&[]), None);
        assert_eq!(fold(&[&rows[0]], Randomness::Unavailable), None);
        rows[1].truncate(2);
        assert_eq!(folded(&rows).len(), 2);
    }
}
