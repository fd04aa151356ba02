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
    type Affine: Copy;

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
    /// Whether this is the neutral element.
    fn is_infinity(&self) -> bool;
    /// Whether the point belongs to the prime-order subgroup.
    fn in_subgroup(point: &Self::Affine) -> bool;
    /// The sum of `scalars[i] * points[i]`, in variable time: not for secrets.
    ///
    /// `scalars` holds one little-endian number of `scalar_bytes` bytes per point. The points must
    /// not be infinite; if some lie outside the subgroup the result is some point of the curve.
    fn sum_of_products(points: &[Self::Affine], scalars: &[u8], scalar_bytes: usize) -> Self;
}

macro_rules! impl_point {
    ($point:ty, $affine:ty, $to_affine:ident, $add:ident, $add_affine:ident, $double:ident,
     $cneg:ident, $mult:ident, $is_inf:ident, $in_group:ident, $pippenger:ident, $scratch:ident) => {
        impl Point for $point {
            type Affine = $affine;

            fn infinity() -> Self {
                // All-zero coordinates are blst's encoding of infinity (Z = 0).
                Self::default()
            }

            fn to_affine(self) -> $affine {
                let mut result = <$affine>::default();
                // SAFETY: both pointers come from live references of the types blst expects. Infinity
                // maps to the all-zero affine point.
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

            fn is_infinity(&self) -> bool {
                // SAFETY: the pointer comes from a live reference.
                unsafe { blst::$is_inf(self) }
            }

            fn in_subgroup(point: &$affine) -> bool {
                // SAFETY: the pointer comes from a live reference.
                unsafe { blst::$in_group(point) }
            }

            fn sum_of_products(points: &[$affine], scalars: &[u8], scalar_bytes: usize) -> Self {
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
                // SAFETY: the lists name `points.len()` points and, by the assertion, as many scalars of
                // `scalar_bytes` bytes; the scratch space has the size, in bytes, that blst asks for, rounded
                // up to whole limbs.
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
        // SAFETY: blst reads 32 bytes, the length of the array; the other pointers are live references.
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

impl Drop for Scalar {
    fn drop(&mut self) {
        self.0.l.zeroize();
    }
}
