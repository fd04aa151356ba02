//! A parser of server-sent events (WHATWG HTML, section "Server-sent events"), fed with bytes as they come.
//!
//! Memory is bounded by the limit of one event, whatever the other side sends.

use std::time::Duration;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// The `event` field; empty when there is none.
    pub(super) event: String,
    /// The `data` lines, joined by line feeds.
    pub(super) data: String,
}

/// An event larger than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event of more than {limit} bytes")]
pub(super) struct Oversized {
    limit: usize,
}

/// State between two pieces of a stream.
#[derive(Debug)]
pub(super) struct Parser {
    limit: usize,
    line: Vec<u8>,
    /// The last byte was a carriage return, so a line feed right after it ends nothing.
    after_return: bool,
    at_start: bool,
    frame: Frame,
    has_data: bool,
    retry: Option<Duration>,
}

impl Parser {
    /// A parser of a fresh stream whose events have at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            at_start: true,
            frame: Frame::default(),
            has_data: false,
            retry: None,
        }
    }

    /// The pause before reconnecting that the server last asked for.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next bytes and appends the events they complete.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Frame>) -> Result<(), Oversized> {
        for &byte in bytes {
            let ends_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if ends_return => {}
                b'\n' => self.end_line(out),
                b'\r' => {
                    self.after_return = true;
                    self.end_line(out);
                }
                _ if self.size() >= self.limit => return Err(Oversized { limit: self.limit }),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.line.len() + self.frame.event.len() + self.frame.data.len()
    }

    fn end_line(&mut self, out: &mut Vec<Frame>) {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let line = match std::mem::take(&mut self.at_start) {
            true => line.strip_prefix('\u{feff}').unwrap_or(&line),
            false => &line,
        };
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            if std::mem::take(&mut self.has_data) {
                out.push(frame);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        self.field(field, value.strip_prefix(' ').unwrap_or(value));
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => self.frame.event = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // Comments have an empty name. Ids serve resumption, which beacon nodes do not offer.
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<Frame> {
        let (mut parser, mut frames) = (Parser::new(1000), Vec::new());
        pieces
            .iter()
            .for_each(|piece| parser.feed(piece, &mut frames).unwrap());
        frames
    }

    fn frame(event: &str, data: &str) -> Frame {
        Frame {
            event: event.into(),
            data: data.into(),
        }
    }

    #[test]
    fn fields_end_at_any_line_end_and_events_at_an_empty_line() {
        let text = "event: head\ndata: {}\n\nevent:head\r\ndata:1\r\ndata: 2\r\n\r\ndata: x\r\r";
        assert_eq!(
            parse(&[text.as_bytes()]),
            [frame("head", "{}"), frame("head", "1\n2"), frame("", "x")]
        );
    }

    #[test]
    fn comments_unknown_fields_and_events_without_data_are_nothing() {
        assert_eq!(
            parse(&[b": hello\n\nevent: head\n\nid: 7\nnonsense\ndata: x\n\n"]),
            [frame("", "x")]
        );
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_an_unfinished_event_dropped() {
        assert_eq!(
            parse(&["\u{feff}data: x\n\ndata: y\n".as_bytes()]),
            [frame("", "x")]
        );
    }

    #[test]
    fn retry_is_kept_when_it_is_a_number() {
        let mut parser = Parser::new(100);
        parser
            .feed(
                b"retry: 250\nretry: soon\nretry: 99999999999999999999\n",
                &mut Vec::new(),
            )
            .unwrap();
        assert_eq!(parser.retry(), Some(Duration::from_millis(250)));
    }

    #[test]
    fn events_beyond_the_limit_are_refused_however_they_come() {
        let feed = |text: &str| Parser::new(16).feed(text.as_bytes(), &mut Vec::new());
        assert_eq!(feed("data: 0123456789"), Ok(()));
        assert_eq!(feed("data: 0123456789a"), Err(Oversized { limit: 16 }));
        let lines = "data: 0123\n".repeat(5);
        assert_eq!(feed(&lines), Err(Oversized { limit: 16 }));
    }

    proptest! {
        #[test]
        fn noise_never_panics_and_memory_stays_within_the_limit(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..32),
        ) {
            let (mut parser, mut frames) = (Parser::new(48), Vec::new());
            for piece in pieces {
                if parser.feed(&piece, &mut frames).is_err() {
                    break;
                }
            }
            // Bytes that are no UTF-8 grow threefold when replaced.
            prop_assert!(frames.iter().all(|frame| frame.event.len() + frame.data.len() <= 3 * 48 + 48));
        }

        #[test]
        fn where_a_stream_is_cut_does_not_matter(
            text in "(event|data|retry|: c)?:? ?[a-z\u{e9}]{0,4}(\r\n|\n|\r){1,3}".prop_map(|line| line.repeat(3)),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), parse(&[bytes]));
        }

        #[test]
        fn what_is_written_is_read(event in "[a-z_]{1,20}", lines in proptest::collection::vec("[^\r\n]{0,30}", 1..4)) {
            let data: String = lines.iter().map(|line| format!("data: {line}\n")).collect();
            let text = format!("event: {event}\n{data}\n");
            prop_assert_eq!(parse(&[text.as_bytes()]), vec![frame(&event, &lines.join("\n"))]);
        }
    }
}
