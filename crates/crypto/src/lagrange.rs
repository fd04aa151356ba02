//! Lagrange coefficients at zero, and sums of points weighted by them.
//!
//! To recombine, each share's point is multiplied by λ_i = Π x_j / (x_j − x_i). Reduced modulo the
//! group order these are full 255-bit numbers, and multiplying by each of them is what makes
//! ordinary recombination slow. But the x are small, so the λ_i are fractions of small integers:
//! with D their common denominator, D·λ_i are small integers. So we add up D·λ_i·P_i bit by bit,
//! sharing the doublings among all points, and multiply once by D^-1 at the end. All inputs are
//! public, so variable time is fine. For sets too large for machine integers the ordinary way is
//! kept.

use crate::raw::{Point, Scalar};
use crate::share_index::ShareIndex;

/// The largest D·λ_i in bits: what an `i128` holds, less room for carries. That is enough for any
/// quorum of about 60 operators, and all along the way faster than full scalars (`recombine` in the
/// benches).
const MAX_INTEGER_BITS: u32 = 120;

/// The weights of one set of shares, in the order the set was given.
#[derive(Debug)]
pub(crate) enum Coefficients {
    /// λ_i = `numerators[i]` / D.
    Integer {
        numerators: Vec<i128>,
        /// D^-1 modulo the group order, little-endian; nothing if D = 1.
        inverse_denominator: Option<[u8; 32]>,
    },
    /// λ_i modulo the group order, 32 little-endian bytes each.
    Scalar { weights: Vec<u8> },
}

impl Coefficients {
    /// The weights of `indexes`, which must be distinct, in the faster of both forms.
    pub(crate) fn new(indexes: &[ShareIndex]) -> Self {
        Self::integer(indexes).unwrap_or_else(|| Self::scalar(indexes))
    }

    /// The integer form, if the numbers stay small enough for it to pay.
    pub(crate) fn integer(indexes: &[ShareIndex]) -> Option<Self> {
        let fractions: Vec<Fraction> = indexes
            .iter()
            .map(|index| Fraction::lagrange(*index, indexes))
            .collect::<Option<_>>()?;
        let denominator = fractions.iter().try_fold(1_u128, |common, fraction| {
            common.checked_mul(
                fraction.denominator / greatest_common_divisor(common, fraction.denominator),
            )
        })?;
        let numerators = fractions
            .iter()
            .map(|fraction| {
                fraction
                    .numerator
                    .checked_mul(i128::try_from(denominator / fraction.denominator).ok()?)
            })
            .collect::<Option<Vec<_>>>()?;
        let largest = numerators
            .iter()
            .map(|numerator| numerator.unsigned_abs())
            .max()?;
        if u128::BITS - largest.leading_zeros() > MAX_INTEGER_BITS {
            return None;
        }
        let inverse_denominator =
            (denominator != 1).then(|| *Scalar::from_u128(denominator).invert().to_le_bytes());
        Some(Self::Integer {
            numerators,
            inverse_denominator,
        })
    }

    /// The scalar form, for sets of any size.
    pub(crate) fn scalar(indexes: &[ShareIndex]) -> Self {
        let weights = scalars(indexes)
            .iter()
            .flat_map(|weight| *weight.to_le_bytes())
            .collect();
        Self::Scalar { weights }
    }

    /// The sum of λ_i·P_i over `points`, given in the order of the indexes.
    pub(crate) fn weigh<P: Point>(&self, points: &[P::Affine]) -> P {
        match self {
            Self::Integer {
                numerators,
                inverse_denominator,
            } => {
                let sum: P = small_sum(points, numerators);
                inverse_denominator
                    .as_ref()
                    .map_or(sum, |inverse| sum.multiply(inverse))
            }
            Self::Scalar { weights } => P::sum_of_products(points, weights, 32),
        }
    }
}

/// The weights of `indexes`, which must be distinct, as scalars.
pub(crate) fn scalars(indexes: &[ShareIndex]) -> Vec<Scalar> {
    let xs: Vec<Scalar> = indexes
        .iter()
        .map(|index| Scalar::from_u128(index.get().into()))
        .collect();
    (0..xs.len())
        .map(|own| {
            let others = xs
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != own)
                .map(|(_, x)| x);
            let one = Scalar::from_u128(1);
            let (numerator, denominator) =
                others.fold((one.clone(), one), |(numerator, denominator), x| {
                    (
                        numerator.multiply(x),
                        denominator.multiply(&x.subtract(&xs[own])),
                    )
                });
            numerator.multiply(&denominator.invert())
        })
        .collect()
}

/// The sum of `factors[i]`·`points[i]`: doublings are shared, and signed digits (non-adjacent
/// form) leave one addition per three bits of a factor.
fn small_sum<P: Point>(points: &[P::Affine], factors: &[i128]) -> P {
    let digits: Vec<Vec<i8>> = factors
        .iter()
        .map(|factor| non_adjacent_form(*factor))
        .collect();
    let length = digits.iter().map(Vec::len).max().unwrap_or(0);
    (0..length).rev().fold(P::infinity(), |sum, position| {
        points
            .iter()
            .zip(&digits)
            .fold(sum.double(), |sum, (point, digits)| {
                match digits.get(position) {
                    Some(1) => sum.add_affine(point),
                    Some(-1) => sum.negate().add_affine(point).negate(),
                    _ => sum,
                }
            })
    })
}

/// The digits (-1, 0, 1) of a number to base two, lowest first, no two neighbours both non-zero.
fn non_adjacent_form(mut number: i128) -> Vec<i8> {
    let mut digits = Vec::new();
    while number != 0 {
        let digit = match number & 3 {
            1 => 1,
            3 => -1,
            _ => 0,
        };
        digits.push(digit);
        // Cannot overflow: factors are far below the type's range.
        number = (number - i128::from(digit)) >> 1;
    }
    digits
}

/// A reduced fraction.
struct Fraction {
    numerator: i128,
    denominator: u128,
}

impl Fraction {
    /// λ of `own` among `all`; nothing if it does not fit.
    fn lagrange(own: ShareIndex, all: &[ShareIndex]) -> Option<Self> {
        let one = Self {
            numerator: 1,
            denominator: 1,
        };
        all.iter()
            .filter(|other| **other != own)
            .try_fold(one, |product, other| {
                let (x, difference) = (
                    i128::from(other.get()),
                    i128::from(other.get()) - i128::from(own.get()),
                );
                product.times(x * difference.signum(), difference.unsigned_abs())
            })
    }

    fn times(self, numerator: i128, denominator: u128) -> Option<Self> {
        // Reducing crosswise before multiplying keeps the intermediate numbers small.
        let (left, right) = (
            greatest_common_divisor(self.numerator.unsigned_abs(), denominator),
            greatest_common_divisor(numerator.unsigned_abs(), self.denominator),
        );
        let inner = greatest_common_divisor(numerator.unsigned_abs() / right, denominator / left);
        let numerator = numerator / i128::try_from(right).ok()? / i128::try_from(inner).ok()?;
        let denominator = denominator / left / inner;
        Some(Self {
            numerator: (self.numerator / i128::try_from(left).ok()?).checked_mul(numerator)?,
            denominator: (self.denominator / right).checked_mul(denominator)?,
        })
    }
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use blst::blst_p1;
    use proptest::prelude::*;

    use super::*;
    use crate::raw::generator;

    fn shares(numbers: impl IntoIterator<Item = u64>) -> Vec<ShareIndex> {
        numbers
            .into_iter()
            .map(|number| ShareIndex::new(number).unwrap())
            .collect()
    }

    /// All sets of at least two of the first `count` shares.
    fn subsets(count: u32) -> impl Iterator<Item = Vec<ShareIndex>> {
        (0..1_u64 << count)
            .filter(|set| set.count_ones() >= 2)
            .map(move |set| {
                shares(
                    (0..u64::from(count))
                        .filter(|bit| set >> bit & 1 == 1)
                        .map(|bit| bit + 1),
                )
            })
    }

    /// Compares both forms on points of which none is a small multiple of another.
    fn assert_same(set: &[ShareIndex], integer: &Coefficients) {
        let points: Vec<_> = set
            .iter()
            .map(|index| {
                generator().multiply(
                    &Scalar::from_u128(1 << index.get().min(100))
                        .invert()
                        .to_le_bytes(),
                )
            })
            .map(Point::to_affine)
            .collect();
        let (fast, naive): (blst_p1, blst_p1) = (
            integer.weigh(&points),
            Coefficients::scalar(set).weigh(&points),
        );
        assert_eq!(fast, naive, "shares {set:?}");
    }

    #[test]
    fn integers_equal_scalars_for_every_set_of_eight_shares() {
        for set in subsets(8) {
            assert_same(
                &set,
                &Coefficients::integer(&set).expect("eight shares fit"),
            );
        }
    }

    #[test]
    fn known_weights_of_shares_one_two_and_three_are_three_minus_three_and_one() {
        match Coefficients::new(&shares([1, 2, 3])) {
            Coefficients::Integer {
                numerators,
                inverse_denominator: None,
            } => assert_eq!(numerators, [3, -3, 1]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sets_too_large_for_integers_fall_back_to_scalars() {
        let large = shares(1..=171);
        assert!(Coefficients::integer(&large).is_none());
        assert!(matches!(
            Coefficients::new(&large),
            Coefficients::Scalar { .. }
        ));
    }

    #[test]
    fn integers_serve_every_quorum_of_common_clusters() {
        for operators in [4, 7, 10, 13, 16, 20, 30, 40, 50_u64] {
            let threshold = (2 * operators).div_ceil(3);
            // A gap at either end makes the denominators worst.
            let gap = operators - threshold;
            for first in [1, 1 + gap / 2, 1 + gap] {
                let set = shares((1..=first / 2).chain(first / 2 + 1 + gap..=operators));
                assert_same(
                    &set,
                    &Coefficients::integer(&set).expect("the numbers are small"),
                );
            }
        }
    }

    #[test]
    fn the_weights_of_the_largest_cluster_add_up_to_one() {
        // The constant polynomial 1 has the value 1 everywhere, at 0 too.
        let sum = scalars(&shares(1..=256))
            .iter()
            .fold(Scalar::from_u128(0), |sum, weight| sum.add(weight));
        assert_eq!(*sum.to_be_bytes(), *Scalar::from_u128(1).to_be_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn integers_equal_scalars_wherever_they_fit(
            set in prop::collection::btree_set(1..=256_u64, 1..32),
        ) {
            let set = shares(set);
            if let Some(integer) = Coefficients::integer(&set) {
                assert_same(&set, &integer);
            }
        }

        #[test]
        fn signed_digits_spell_the_number_without_two_neighbours(
            number in -(1_i128 << 120)..1_i128 << 120,
        ) {
            let digits = non_adjacent_form(number);
            let value = digits.iter().rev().fold(0, |value, digit| 2 * value + i128::from(*digit));
            prop_assert_eq!(value, number);
            prop_assert!(digits.windows(2).all(|pair| pair[0] == 0 || pair[1] == 0));
        }
    }
}
