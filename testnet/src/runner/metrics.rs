//! The few numbers the testnet takes from a node's `/metrics`.

/// What a node says about its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PeerTraffic {
    /// Sent to all peers.
    pub(super) sent_bytes: u64,
    /// Received from all peers.
    pub(super) received_bytes: u64,
    /// Peers that answer pings, if the node measures that.
    pub(super) peers: Option<usize>,
}

/// Reads the Prometheus text format.
pub(super) fn read(text: &str) -> PeerTraffic {
    let pings: Vec<f64> = samples(text, "p2p_ping_success").collect();
    PeerTraffic {
        sent_bytes: samples(text, "p2p_peer_network_sent_bytes_total").sum::<f64>() as u64,
        received_bytes: samples(text, "p2p_peer_network_receive_bytes_total").sum::<f64>() as u64,
        peers: (!pings.is_empty()).then(|| pings.iter().filter(|success| **success == 1.0).count()),
    }
}

/// The values of a metric, whatever its labels.
fn samples<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = f64> + 'a {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        // Label values may hold spaces and braces, so the value is what follows the last brace.
        let value = match rest.chars().next()? {
            '{' => rest.rsplit_once('}')?.1,
            ' ' => rest,
            _ => return None,
        };
        value.split_ascii_whitespace().next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counters_are_summed_over_peers_and_protocols() {
        let text = "# TYPE p2p_peer_network_sent_bytes counter\n\
                    p2p_peer_network_sent_bytes_total{peer=\"a} b\",protocol=\"x\"} 100\n\
                    p2p_peer_network_sent_bytes_total{peer=\"b\",protocol=\"x\"} 2.5e2 1700000000\n\
                    p2p_peer_network_sent_bytes_totals 7\n\
                    p2p_peer_network_receive_bytes_total 30\n\
                    p2p_ping_success{peer=\"a\"} 1\np2p_ping_success{peer=\"b\"} 0\n";
        let expected = PeerTraffic {
            sent_bytes: 350,
            received_bytes: 30,
            peers: Some(1),
        };
        assert_eq!(read(text), expected);
        assert_eq!(read(""), PeerTraffic::default());
    }
}
