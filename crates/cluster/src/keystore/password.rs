//! Passwords: their normal form, and the random ones beside the keystores we write.

use rand::CryptoRng;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// EIP-2335: NFKD without control characters, so that a newline at the end of a file does no harm.
pub(super) fn normalise(password: &str) -> Zeroizing<Vec<u8>> {
    // Long enough for any decomposition, so that no copy stays behind in a smaller buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(password.len() * 18));
    let mut buffer = [0; 4];
    for c in password.nfkd().filter(|c| *c >= ' ' && *c != '\u{7f}') {
        bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
    bytes
}

/// A password of `bytes` random bytes as lower-case hex: 16 for files, 32 for key managers.
pub fn random_password(bytes: usize, rng: &mut impl CryptoRng) -> Zeroizing<String> {
    let mut random = Zeroizing::new(vec![0; bytes]);
    rng.fill_bytes(&mut random);
    Zeroizing::new(hex::encode(&*random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form_is_that_of_eip_2335() {
        let text = "\u{1d531}\u{1d522}\u{1d530}\u{1d531}\u{1d52d}\u{1d51e}\u{1d530}\u{1d530}\u{1d534}\u{1d52c}\u{1d52f}\u{1d521}\u{1f511}";
        assert_eq!(*normalise(text), "testpassword\u{1f511}".as_bytes());
        assert_eq!(*normalise("a\u{7f}\r\n b\t"), b"a b");
    }
}
