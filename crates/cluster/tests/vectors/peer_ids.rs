//! `peer-names`: the peer IDs of keys and records. The names themselves are another program's display names.

use flotilla_cluster::{Enr, PeerId};
use flotilla_crypto::IdentityKey;

use super::folder::{folder, json};

#[test]
fn vectors_peer_ids_of_names() {
    let Some(folder) = folder("peer-names") else {
        return;
    };
    let all = json(&folder.join("names.json"));
    let mut checked = 0;
    for entry in all.as_array().unwrap() {
        let expected = entry["peer_id"].as_str().unwrap();
        if let Some(key) = entry["private_key"].as_str() {
            let key = IdentityKey::from_hex(key).unwrap();
            assert_eq!(PeerId::of(&key.public()).to_string(), expected);
            checked += 1;
        }
        if let Some(enr) = entry["enr"].as_str() {
            let enr = Enr::parse(enr).unwrap();
            assert_eq!(PeerId::of(enr.public_key()).to_string(), expected);
            checked += 1;
        }
    }
    assert!(checked > 0);
}
