//! The only `unsafe` code: blst's group and field operations that have no safe binding.
//!
//! blst's own safe types cover keys, signing and pairings. What they lack is plain arithmetic:
//! adding and doubling points, multi-scalar multiplication on the calling thread, and the scalar
//! field. Each wrapper here takes references and lengths it has checked, and returns values; none
//! keeps a pointer. Rules (which points may be trusted, which scalars are secret) live above.
#![allow(unsafe_code)]

use blst::{blst_fr, blst_p1, blst_p1_affine, blst_p2, blst_p2_affine, blst_scalar};
use zeroize::{Zeroize, Zeroizing};

/// A point of one of the two curves, in projective form.
///
/// Operations are complete: they hold for equal, opposite and infinite points. None of them
/// checks membership in the prime-order subgroup.
pub(crate) trait Point: Copy {
    /// The normalised form, in which points are stored and decoded.
    type Affine: Copy + Default + PartialEq;

    /// The neutral element, "the point at infinity".
    fn infinity() -> Self;
    /// The same point in normalised form (one field inversion).
    fn to_affine(self) -> Self::Affine;
    /// The sum of both points.
    fn add(self, other: &Self) -> Self;
    /// The sum of both points; cheaper than `add`.
    fn add_affine(self, other: &Self::Affine) -> Self;
    /// Twice the point.
    fn double(self) -> Self;
    /// The opposite point.
    fn negate(self) -> Self;
    /// The point times a scalar below the group order, little-endian, in constant time.
    /// Outside the prime-order subgroup the result is some point of the curve.
    fn multiply(self, scalar: &[u8; 32]) -> Self;
    /// The point times a 128-bit number, little-endian, otherwise as `multiply`.
    fn multiply_short(self, number: &[u8; 16]) -> Self;
    /// Whether this is the neutral element.
    fn is_infinity(&self) -> bool;
    /// Whether this is a point of the curve and belongs to the prime-order subgroup.
    fn in_subgroup(point: &Self::Affine) -> bool;
    /// The sum of `scalars[i] * points[i]`, in variable time: not for secrets. `scalars` holds one
    /// little-endian number of `scalar_bytes` bytes per point.
    ///
    /// The sum of points outside the subgroup need not be right, nor even a point of the curve.
    fn sum_of_products(points: &[Self::Affine], scalars: &[u8], scalar_bytes: usize) -> Self {
        let infinity = Self::Affine::default();
        if !points.contains(&infinity) {
            return Self::sum_of_finite_products(points, scalars, scalar_bytes);
        }
        let (points, scalars): (Vec<Self::Affine>, Vec<&[u8]>) = points
            .iter()
            .zip(scalars.chunks_exact(scalar_bytes))
            .filter(|(point, _)| **point != infinity)
            .unzip();
        Self::sum_of_finite_products(&points, &scalars.concat(), scalar_bytes)
    }

    /// The same without infinite points, which blst's tables do not take: they divide by Z.
    fn sum_of_finite_products(points: &[Self::Affine], scalars: &[u8], scalar_bytes: usize)
    -> Self;
}

macro_rules! impl_point {
    ($point:ty, $affine:ty, $to_affine:ident, $add:ident, $add_affine:ident, $double:ident,
     $cneg:ident, $mult:ident, $is_inf:ident, $on_curve:ident, $in_group:ident, $pippenger:ident,
     $scratch:ident) => {
        impl Point for $point {
            type Affine = $affine;

            fn infinity() -> Self {
                // All-zero coordinates are blst's encoding of infinity (Z = 0).
                Self::default()
            }

            fn to_affine(self) -> $affine {
                let mut result = <$affine>::default();
                // SAFETY: both pointers come from live references of the types blst expects.
                // Infinity maps to the all-zero affine point.
                unsafe { blst::$to_affine(&mut result, &self) };
                result
            }

            fn add(self, other: &Self) -> Self {
                let mut result = Self::default();
                // SAFETY: as above; the "or double" form is defined for equal operands.
                unsafe { blst::$add(&mut result, &self, other) };
                result
            }

            fn add_affine(self, other: &$affine) -> Self {
                let mut result = Self::default();
                // SAFETY: as above.
                unsafe { blst::$add_affine(&mut result, &self, other) };
                result
            }

            fn double(self) -> Self {
                let mut result = Self::default();
                // SAFETY: as above.
                unsafe { blst::$double(&mut result, &self) };
                result
            }

            fn negate(mut self) -> Self {
                // SAFETY: the pointer comes from a live exclusive reference.
                unsafe { blst::$cneg(&mut self, true) };
                self
            }

            fn multiply(self, scalar: &[u8; 32]) -> Self {
                let mut result = Self::default();
                // SAFETY: blst reads ceil(256 / 8) = 32 bytes of the scalar.
                unsafe { blst::$mult(&mut result, &self, scalar.as_ptr(), 256) };
                result
            }

            fn multiply_short(self, number: &[u8; 16]) -> Self {
                let mut result = Self::default();
                // SAFETY: blst reads ceil(128 / 8) = 16 bytes of the number.
                unsafe { blst::$mult(&mut result, &self, number.as_ptr(), 128) };
                result
            }

            fn is_infinity(&self) -> bool {
                // SAFETY: the pointer comes from a live reference.
                unsafe { blst::$is_inf(self) }
            }

            fn in_subgroup(point: &$affine) -> bool {
                // SAFETY: the pointer comes from a live reference.
                unsafe { blst::$on_curve(point) && blst::$in_group(point) }
            }

            fn sum_of_finite_products(
                points: &[$affine],
                scalars: &[u8],
                scalar_bytes: usize,
            ) -> Self {
                assert_eq!(
                    points.len() * scalar_bytes,
                    scalars.len(),
                    "one scalar for each point"
                );
                let (Some(first_point), Some(first_scalar)) = (points.first(), scalars.first())
                else {
                    return Self::default();
                };
                // A null second entry tells blst that the rest follows the first without gaps.
                let point_list: [*const $affine; 2] = [first_point, std::ptr::null()];
                let scalar_list: [*const u8; 2] = [first_scalar, std::ptr::null()];
                let mut result = Self::default();
                // SAFETY: the lists name `points.len()` points and, by the assertion, as many
                // scalars of `scalar_bytes` bytes; the scratch space has the size, in bytes, that
                // blst asks for, rounded up to whole limbs.
                unsafe {
                    let limbs = blst::$scratch(points.len()).div_ceil(size_of::<u64>());
                    let mut scratch = vec![0_u64; limbs];
                    blst::$pippenger(
                        &mut result,
                        point_list.as_ptr(),
                        points.len(),
                        scalar_list.as_ptr(),
                        8 * scalar_bytes,
                        scratch.as_mut_ptr(),
                    );
                }
                result
            }
        }
    };
}

impl_point!(
    blst_p1,
    blst_p1_affine,
    blst_p1_to_affine,
    blst_p1_add_or_double,
    blst_p1_add_or_double_affine,
    blst_p1_double,
    blst_p1_cneg,
    blst_p1_mult,
    blst_p1_is_inf,
    blst_p1_affine_on_curve,
    blst_p1_affine_in_g1,
    blst_p1s_mult_pippenger,
    blst_p1s_mult_pippenger_scratch_sizeof
);
impl_point!(
    blst_p2,
    blst_p2_affine,
    blst_p2_to_affine,
    blst_p2_add_or_double,
    blst_p2_add_or_double_affine,
    blst_p2_double,
    blst_p2_cneg,
    blst_p2_mult,
    blst_p2_is_inf,
    blst_p2_affine_on_curve,
    blst_p2_affine_in_g2,
    blst_p2s_mult_pippenger,
    blst_p2s_mult_pippenger_scratch_sizeof
);

/// The generator of the group of public keys.
pub(crate) fn generator() -> blst_p1 {
    // SAFETY: blst returns a pointer to a constant that lives as long as the program.
    unsafe { *blst::blst_p1_generator() }
}

/// Hashes a message to the group of signatures (RFC 9380, suite and tag `dst`).
pub(crate) fn hash_to_signature_group(message: &[u8; 32], dst: &[u8]) -> blst_p2_affine {
    let mut result = blst_p2::default();
    // SAFETY: pointers and lengths belong to live slices; blst reads nothing through the null
    // augmentation pointer because its length is zero.
    unsafe {
        blst::blst_hash_to_g2(
            &mut result,
            message.as_ptr(),
            message.len(),
            dst.as_ptr(),
            dst.len(),
            std::ptr::null(),
            0,
        );
    }
    result.to_affine()
}

/// An element of the scalar field, cleared on drop. Addition and multiplication take constant time.
#[derive(Clone)]
pub(crate) struct Scalar(blst_fr);

impl Scalar {
    /// A small number as a scalar.
    pub(crate) fn from_u128(number: u128) -> Self {
        let limbs = [number as u64, (number >> 64) as u64, 0, 0];
        let mut result = blst_fr::default();
        // SAFETY: blst reads four limbs, the length of the array.
        unsafe { blst::blst_fr_from_uint64(&mut result, limbs.as_ptr()) };
        Self(result)
    }

    /// Reads 32 big-endian bytes; nothing if the number is not below the group order.
    pub(crate) fn from_be_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let mut scalar = blst_scalar::default();
        let mut result = blst_fr::default();
        // SAFETY: blst reads 32 bytes, the length of the array; the other pointers are live
        // references.
        unsafe {
            blst::blst_scalar_from_bendian(&mut scalar, bytes.as_ptr());
            if !blst::blst_scalar_fr_check(&scalar) {
                return None;
            }
            blst::blst_fr_from_scalar(&mut result, &scalar);
        }
        Some(Self(result))
    }

    /// 32 little-endian bytes, the order blst's multiplications read.
    pub(crate) fn to_le_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut scalar = blst_scalar::default();
        // SAFETY: both pointers come from live references.
        unsafe { blst::blst_scalar_from_fr(&mut scalar, &self.0) };
        Zeroizing::new(scalar.b)
    }

    /// 32 big-endian bytes, the order of secret keys.
    pub(crate) fn to_be_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = self.to_le_bytes();
        bytes.reverse();
        bytes
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        let mut result = blst_fr::default();
        // SAFETY: all pointers come from live references.
        unsafe { blst::blst_fr_add(&mut result, &self.0, &other.0) };
        Self(result)
    }

    pub(crate) fn subtract(&self, other: &Self) -> Self {
        let mut result = blst_fr::default();
        // SAFETY: as above.
        unsafe { blst::blst_fr_sub(&mut result, &self.0, &other.0) };
        Self(result)
    }

    pub(crate) fn multiply(&self, other: &Self) -> Self {
        let mut result = blst_fr::default();
        // SAFETY: as above.
        unsafe { blst::blst_fr_mul(&mut result, &self.0, &other.0) };
        Self(result)
    }

    /// The multiplicative inverse; zero for zero.
    pub(crate) fn invert(&self) -> Self {
        let mut result = blst_fr::default();
        // SAFETY: as above.
        unsafe { blst::blst_fr_inverse(&mut result, &self.0) };
        Self(result)
    }
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Scalar(..)")
    }
}

impl Drop for Scalar {
    fn drop(&mut self) {
        self.0.l.zeroize();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Two's power times the generator, in either group.
    fn points<P: Point>(generator: P, count: usize) -> Vec<P::Affine> {
        std::iter::successors(Some(generator), |point| Some(point.double()))
            .take(count)
            .map(P::to_affine)
            .collect()
    }

    fn signature_generator() -> blst_p2 {
        blst_p2::infinity().add_affine(&hash_to_signature_group(&[1; 32], b"test"))
    }

    /// The group laws, checked against each other.
    fn obeys_group_laws<P: Point + PartialEq + std::fmt::Debug>(generator: P) {
        let (one, zero) = (generator.to_affine(), P::infinity());
        assert!(zero.is_infinity() && !generator.is_infinity());
        assert!(P::in_subgroup(&one));
        assert_eq!(zero.add_affine(&one), generator);
        assert_eq!(generator.add_affine(&one), generator.double());
        assert_eq!(generator.add(&generator), generator.double());
        assert!(generator.add(&generator.negate()).is_infinity());
        assert!(generator.negate().add_affine(&one).is_infinity());
        assert_eq!(generator.add(&zero), generator);
        assert!(zero.double().is_infinity() && zero.add(&zero).is_infinity());
        assert!(P::sum_of_products(&[], &[], 8).is_infinity());
        let points = [one, P::Affine::default(), one];
        assert_eq!(
            P::sum_of_products(&points, &[1, 7, 1], 1),
            generator.double()
        );
    }

    #[test]
    fn both_groups_obey_the_group_laws_at_their_edges() {
        obeys_group_laws(generator());
        obeys_group_laws(signature_generator());
    }

    #[test]
    fn coordinates_off_the_curve_are_in_no_subgroup() {
        let (key, signature) = (generator().to_affine(), signature_generator().to_affine());
        assert!(!blst_p1::in_subgroup(&blst_p1_affine {
            x: key.y,
            y: key.x
        }));
        assert!(!blst_p2::in_subgroup(&blst_p2_affine {
            x: signature.y,
            y: signature.x
        }));
    }

    #[test]
    #[should_panic(expected = "one scalar for each point")]
    fn a_scalar_too_few_is_refused_before_blst_reads_past_it() {
        let _ = blst_p1::sum_of_products(&points(generator(), 2), &[0; 15], 8);
    }

    fn scalar() -> impl Strategy<Value = Scalar> {
        any::<[u8; 32]>().prop_map(|mut bytes| {
            bytes[0] &= 0x3f;
            Scalar::from_be_bytes(&bytes).unwrap()
        })
    }

    /// Σ scalars[i]·2^i, so that a sum of products over doublings has a second way to be computed.
    fn evaluate_at_two(scalars: &[Scalar]) -> Scalar {
        let two = Scalar::from_u128(2);
        scalars
            .iter()
            .rev()
            .fold(Scalar::from_u128(0), |sum, scalar| {
                sum.multiply(&two).add(scalar)
            })
    }

    fn sums_products<P: Point + PartialEq + std::fmt::Debug>(generator: P, scalars: &[Scalar]) {
        let bytes: Vec<u8> = scalars
            .iter()
            .flat_map(|scalar| *scalar.to_le_bytes())
            .collect();
        let sum = P::sum_of_products(&points(generator, scalars.len()), &bytes, 32);
        assert_eq!(
            sum,
            generator.multiply(&evaluate_at_two(scalars).to_le_bytes())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_sum_of_products_equals_one_product_with_the_summed_scalar(
            scalars in prop::collection::vec(scalar(), 1..40),
        ) {
            sums_products(generator(), &scalars);
            sums_products(signature_generator(), &scalars);
        }

        #[test]
        fn short_scalars_give_the_same_as_long_ones(
            numbers in prop::collection::vec(any::<u64>(), 1..70),
        ) {
            let short: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let scalars = numbers.iter().map(|number| Scalar::from_u128((*number).into()));
            let long: Vec<u8> = scalars.flat_map(|scalar| *scalar.to_le_bytes()).collect();
            let points = points(signature_generator(), numbers.len());
            let short = blst_p2::sum_of_products(&points, &short, 8);
            prop_assert_eq!(short, blst_p2::sum_of_products(&points, &long, 32));
        }

        #[test]
        fn a_short_product_equals_the_long_one(number: u128) {
            let long = Scalar::from_u128(number).to_le_bytes();
            let short = number.to_le_bytes();
            let (key, signature) = (generator(), signature_generator());
            prop_assert_eq!(key.multiply_short(&short), key.multiply(&long));
            prop_assert_eq!(signature.multiply_short(&short), signature.multiply(&long));
        }

        #[test]
        fn multiplication_distributes_over_addition(a in scalar(), b in scalar()) {
            let times = |scalar: &Scalar| generator().multiply(&scalar.to_le_bytes());
            prop_assert_eq!(times(&a).add(&times(&b)), times(&a.add(&b)));
            prop_assert_eq!(times(&a).add(&times(&b).negate()), times(&a.subtract(&b)));
            prop_assert_eq!(times(&a).multiply(&b.to_le_bytes()), times(&a.multiply(&b)));
        }

        #[test]
        fn a_scalar_times_its_inverse_is_one(a in scalar()) {
            let one = Scalar::from_u128(1).to_be_bytes();
            prop_assert_eq!(a.multiply(&a.invert()).to_be_bytes(), one);
        }

        #[test]
        fn scalars_below_the_order_survive_a_round_trip_and_others_are_refused(bytes: [u8; 32]) {
            const ORDER: [u8; 32] = [
                0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1,
                0xd8, 0x05, 0x53, 0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff,
                0x00, 0x00, 0x00, 0x01,
            ];
            match Scalar::from_be_bytes(&bytes) {
                Some(scalar) => prop_assert_eq!(*scalar.to_be_bytes(), bytes),
                None => prop_assert!(bytes >= ORDER),
            }
            prop_assert!(Scalar::from_be_bytes(&ORDER).is_none());
        }
    }
}
