//! The chain's own way to put indexes in an order that nobody can choose (consensus specs, `compute_shuffled_index`).

use libssz_merkle::{Sha2Hasher, Sha256Hasher};

/// Rounds of a shuffling, the same in every preset (`SHUFFLE_ROUND_COUNT`).
const ROUNDS: u8 = 90;
/// Positions that one hash decides on: a bit each.
const PER_HASH: usize = 256;

/// A list in the order of the swap-or-not shuffle of this seed: the item at place `i` goes to the place that the consensus
/// specs compute for index `i`.
pub fn shuffled<T: Copy>(list: &[T], seed: &[u8; 32]) -> Vec<T> {
    let mut shuffled = list.to_vec();
    for (place, item) in places(list.len(), seed).into_iter().zip(list) {
        // A permutation: every place is below the length, and is taken once.
        if let Some(slot) = shuffled.get_mut(place) {
            *slot = *item;
        }
    }
    shuffled
}

/// Where each of so many items goes.
fn places(length: usize, seed: &[u8; 32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..length).collect();
    if length == 0 {
        return places;
    }
    for round in 0..ROUNDS {
        let hash = Sha2Hasher.hash(&[seed.as_slice(), &[round]].concat());
        let (first, _) = hash.split_first_chunk::<8>().expect("a hash has 32 bytes");
        // Below the length, which is a usize.
        let pivot = (u64::from_le_bytes(*first) % length as u64) as usize;
        let swaps = swaps(length, seed, round);
        for place in &mut places {
            let flip = (pivot + length - *place) % length;
            if is_set(&swaps, flip.max(*place)) {
                *place = flip;
            }
        }
    }
    places
}

/// A bit for each position: whether it is swapped in a round.
fn swaps(length: usize, seed: &[u8; 32], round: u8) -> Vec<[u8; 32]> {
    let hash = |part: usize| {
        // The specs count parts in 32 bits: no list of validators has more.
        let part = (part as u32).to_le_bytes();
        Sha2Hasher.hash(&[seed.as_slice(), &[round], &part].concat())
    };
    (0..length.div_ceil(PER_HASH)).map(hash).collect()
}

fn is_set(bits: &[[u8; 32]], position: usize) -> bool {
    let byte = bits[position / PER_HASH][position % PER_HASH / 8];
    byte >> (position % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Epoch 7 in 32 bytes.
    const SEED: [u8; 32] = {
        let mut seed = [0; 32];
        seed[0] = 7;
        seed
    };

    /// Computed by the Python of the consensus specs, index by index.
    #[test]
    fn items_go_where_the_specs_say() {
        let list: Vec<u64> = (100..112).collect();
        let expected = [102, 106, 105, 107, 103, 108, 111, 109, 100, 110, 104, 101];
        assert_eq!(shuffled(&list, &SEED), expected);
        let many = places(1000, &SEED);
        let found = [0, 255, 256, 999].map(|index| many[index]);
        assert_eq!(found, [147, 588, 169, 435]);
    }

    #[test]
    fn nothing_is_lost_however_long_the_list() {
        for length in [0, 1, 2, 255, 256, 257] {
            let list: Vec<u64> = (0..length).collect();
            let mut found = shuffled(&list, &SEED);
            found.sort_unstable();
            assert_eq!(found, list);
        }
    }
}
