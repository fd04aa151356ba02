//! The label of a path that is passed on: few labels for many paths (spec 30 §8.4).

/// Most parts of a label; paths are the client's.
const PARTS: usize = 12;
/// Most bytes of one part.
const PART: usize = 48;

/// What every path of the Beacon API begins with.
const API: &str = "/eth/";
/// The label of any other path.
const FOREIGN: &str = "{other}";

/// The path's segments joined by `_`, with placeholders for hex, numbers and peers.
pub(super) fn path_label(path: &str) -> String {
    if !path.starts_with(API) {
        return FOREIGN.to_owned();
    }
    let mut label = String::new();
    let mut previous = "";
    for segment in path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .take(PARTS)
    {
        if !label.is_empty() {
            label.push('_');
        }
        label.push_str(match segment {
            _ if previous == "peers" => "{peer_id}",
            _ if segment.starts_with("0x") => "{hex}",
            _ if segment.bytes().all(|byte| byte.is_ascii_digit()) => "{n}",
            _ if segment.len() > PART || !segment.is_ascii() => FOREIGN,
            _ => segment,
        });
        previous = segment;
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_replaced() {
        assert_eq!(
            path_label("/eth/v2/beacon/blocks/0xab12"),
            "eth_v2_beacon_blocks_{hex}"
        );
        assert_eq!(
            path_label("/eth/v1/beacon/states/77/fork"),
            "eth_v1_beacon_states_{n}_fork"
        );
        assert_eq!(
            path_label("/eth/v1/node/peers/16Uiu2"),
            "eth_v1_node_peers_{peer_id}"
        );
        assert_eq!(path_label(&format!("/eth{}", "/a".repeat(99))).len(), 25);
        assert_eq!(path_label("/favicon.ico"), "{other}");
        assert_eq!(
            path_label(&format!("/eth/{}", "y".repeat(99))),
            "eth_{other}"
        );
    }
}
