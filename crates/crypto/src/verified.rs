//! The proof, carried in a type, that somebody looked.
//!
//! Code behind the edge takes `Verified<T>` and needs no second look; it cannot obtain one
//! without running a check. What was checked is the business of whoever called it.

use std::ops::Deref;

/// A value that passed a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Runs `check` on `value` and seals the value if it passes.
    ///
    /// # Errors
    /// Whatever `check` returns; the value is dropped then.
    pub fn check<E>(value: T, check: impl FnOnce(&T) -> Result<(), E>) -> Result<Self, E> {
        check(&value)?;
        Ok(Self(value))
    }

    /// Gives the value back, without its proof.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// Projects a verified value: what is computed from checked data alone counts as checked.
    ///
    /// `project` must not mix in data from elsewhere, which would ride on a proof it never had.
    pub fn map<U>(self, project: impl FnOnce(T) -> U) -> Verified<U> {
        Verified(project(self.0))
    }

    /// Seals a value whose check was part of a larger one, such as a batch.
    pub(crate) fn checked_in_batch(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_yields_no_proof() {
        let result = Verified::check(
            3,
            |value| if *value > 5 { Ok(()) } else { Err("too small") },
        );
        assert_eq!(result, Err("too small"));
    }

    #[test]
    fn a_passed_check_keeps_the_value_through_projection() {
        let verified = Verified::check((3, "three"), |_| Ok::<(), ()>(()));
        assert_eq!(
            verified.map(|pair| pair.map(|(number, _)| number).into_inner()),
            Ok(3)
        );
    }
}
