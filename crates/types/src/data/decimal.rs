//! Numbers of up to 256 bits as decimal text.

use crate::number::Decimal;

/// Decimal text to little-endian bytes; `None` if it is none or too large.
pub(super) fn decimal(text: &str, size: usize) -> Option<Vec<u8>> {
    if size == 8 {
        let Decimal(number) = text.parse().ok()?;
        return Some(number.to_le_bytes().to_vec());
    }
    let mut bytes = vec![0u8; size];
    if text.is_empty() {
        return None;
    }
    for digit in text.bytes() {
        let mut carry = u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        for byte in &mut bytes {
            carry += u16::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(bytes)
}

/// Little-endian bytes as decimal text.
pub(super) fn decimal_text(bytes: &[u8]) -> String {
    let (mut rest, mut digits) = (bytes.to_vec(), Vec::new());
    while digits.is_empty() || rest.iter().any(|&byte| byte != 0) {
        let mut remainder = 0u16;
        for byte in rest.iter_mut().rev() {
            let value = remainder << 8 | u16::from(*byte);
            *byte = (value / 10) as u8;
            remainder = value % 10;
        }
        digits.push(char::from(b'0' + remainder as u8));
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn small_numbers_have_the_same_text_in_both_sizes(number: u64) {
            let wide = decimal(&number.to_string(), 32).unwrap();
            prop_assert_eq!(&wide[..8], number.to_le_bytes());
            prop_assert_eq!(decimal_text(&wide), number.to_string());
        }

        #[test]
        fn wide_numbers_come_back(bytes in proptest::array::uniform32(any::<u8>())) {
            prop_assert_eq!(decimal(&decimal_text(&bytes), 32).unwrap(), bytes);
        }
    }
}
