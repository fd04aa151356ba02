//! What nodes say instead of accepting something once more. They have it, which is what we want.

/// Texts of the beacon nodes in use, without case and signs.
const TEXTS: [&str; 7] = [
    // Lodestar's codes, Lighthouse's `BlockIsAlreadyKnown`, Prysm's and Teku's prose.
    "alreadyknown",
    "alreadyimported",
    "alreadyinforkchoice",
    // Lighthouse.
    "duplicateblock",
    "priorattestationknown",
    "priorsynccommitteemessageknown",
    // Lighthouse: a larger aggregate or contribution is known.
    "supersetknown",
];

/// Whether a message says that the node has the thing.
pub(super) fn is_known(message: &[u8]) -> bool {
    let plain: String = message
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    TEXTS.iter().any(|text| plain.contains(text))
}

/// Whether a message is a list of error codes (`ATTESTATION_ERROR_…`, as Lodestar makes one for a batch) that all say that the
/// node has the thing: everything else in the batch was accepted.
pub(super) fn all_known(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message);
    let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let mut codes = words.filter(|word| word.contains("_ERROR_")).peekable();
    codes.peek().is_some() && codes.all(|code| code.contains("ALREADY_KNOWN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_say_in_different_words_that_they_have_it() {
        for text in [
            "PriorAttestationKnown { validator_index: 1 }",
            "BLOCK_ERROR_ALREADY_KNOWN",
            "block is already known",
            "Block already imported",
            "AttestationSupersetKnown(0x00)",
        ] {
            assert!(is_known(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_batch_is_known_if_every_code_says_so() {
        let known = "Multiple errors on publishing:\nATTESTATION_ERROR_ATTESTATION_ALREADY_KNOWN\nATTESTATION_ERROR_ATTESTATION_ALREADY_KNOWN";
        assert!(all_known(known.as_bytes()));
        let mixed = format!("{known}\nATTESTATION_ERROR_UNKNOWN_TARGET_ROOT");
        assert!(!all_known(mixed.as_bytes()));
        assert!(!all_known(b"internal error") && !all_known(b""));
    }

    #[test]
    fn another_block_of_the_same_proposer_is_not_ours() {
        for text in [
            "",
            "BLOCK_ERROR_REPEAT_PROPOSAL",
            "unknown parent",
            "proposal for this slot and proposer has already been seen",
        ] {
            assert!(!is_known(text.as_bytes()), "{text}");
        }
    }
}
