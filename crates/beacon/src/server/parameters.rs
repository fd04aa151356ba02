//! Parameters of path and query, and what is wrong with them in the field's words (spec 30 §3.2).

use std::str::FromStr;

use super::{endpoint::Endpoint, problem::Problem};

/// Where a parameter stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Path,
    Query,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
        }
    }
}

/// The parameters of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
}

impl<'a> Parameters<'a> {
    /// A variable part of the path.
    pub(super) fn path_text(&self, name: &str) -> Result<&'a str, Problem> {
        let names = self.endpoint.path().split('/');
        names
            .zip(self.path.split('/'))
            .find(|(pattern, _)| {
                let inner = pattern
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'));
                inner == Some(name)
            })
            .map(|(_, value)| value)
            .ok_or_else(|| Problem::bad_request(format!("missing path parameter {name}")))
    }

    /// A number in the path.
    pub(super) fn path_number(&self, name: &str) -> Result<u64, Problem> {
        number(Place::Path, name, self.path_text(name)?)
    }

    /// Every value of a query parameter, those in one list included.
    pub(super) fn query_list(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(name)
            .flat_map(|values| values.split(','))
            .flat_map(|values| values.split("%2C"))
            .filter(|value| !value.is_empty())
    }

    /// A number in the query.
    pub(super) fn query_number(&self, name: &'a str) -> Result<u64, Problem> {
        let text = self.values(name).next().filter(|text| !text.is_empty());
        let text =
            text.ok_or_else(|| Problem::bad_request(format!("missing query parameter {name}")))?;
        number(Place::Query, name, text)
    }

    /// Bytes in the query, as hex with or without `0x`.
    pub(super) fn query_hex<Bytes: FromStr>(
        &self,
        name: &'a str,
        length: usize,
    ) -> Result<Bytes, Problem> {
        self.optional_hex(name, length)?
            .ok_or_else(|| Problem::bad_request(format!("missing 0x-hex query parameter {name}")))
    }

    /// The same, where it may be left out.
    pub(super) fn optional_hex<Bytes: FromStr>(
        &self,
        name: &'a str,
        length: usize,
    ) -> Result<Option<Bytes>, Problem> {
        let Some(text) = self.values(name).next().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !digits.len().is_multiple_of(2) {
            let shown = shown(text);
            return Err(Problem::bad_request(format!(
                "invalid 0x-hex query parameter {name} [{shown}]"
            )));
        }
        let bytes = text.parse().map_err(|_| {
            Problem::bad_request(format!(
                "invalid length for 0x-hex query parameter {name}, expect {length} bytes"
            ))
        })?;
        Ok(Some(bytes))
    }

    /// Values are hex, numbers and plain words, none of which is escaped.
    fn values(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.split('&').filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }
}

fn number(place: Place, name: &str, text: &str) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = digits.then(|| text.parse().ok()).flatten();
    parsed.ok_or_else(|| {
        let (place, shown) = (place.name(), shown(text));
        Problem::bad_request(format!("invalid uint {place} parameter {name} [{shown}]"))
    })
}

/// Most characters of a foreign value that an error shows.
const SHOWN: usize = 64;

fn shown(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(SHOWN)
        .collect()
}

#[cfg(test)]
mod tests {
    use flotilla_types::Root;

    use super::*;

    fn of(path: &'static str, query: &'static str) -> Parameters<'static> {
        Parameters {
            endpoint: Endpoint::AttesterDuties,
            path,
            query,
        }
    }

    fn text<T>(result: Result<T, Problem>) -> String {
        result
            .err()
            .map(|problem| problem.message)
            .unwrap_or_default()
    }

    #[test]
    fn every_fault_has_its_text() {
        let path = of(
            "/eth/v1/validator/duties/attester/x1",
            "slot=-1&root=0xzz&short=0x0102&blank=",
        );
        assert_eq!(
            text(path.path_number("epoch")),
            "invalid uint path parameter epoch [x1]"
        );
        assert_eq!(
            text(path.path_number("slot")),
            "missing path parameter slot"
        );
        assert_eq!(
            text(path.query_number("slot")),
            "invalid uint query parameter slot [-1]"
        );
        assert_eq!(
            text(path.query_number("blank")),
            "missing query parameter blank"
        );
        let hex = |name| text(path.query_hex::<Root>(name, Root::LENGTH));
        assert_eq!(hex("none"), "missing 0x-hex query parameter none");
        assert_eq!(hex("root"), "invalid 0x-hex query parameter root [0xzz]");
        assert_eq!(
            hex("short"),
            "invalid length for 0x-hex query parameter short, expect 32 bytes"
        );
    }

    #[test]
    fn the_prefix_is_optional_and_lists_are_joined() {
        let hex = "11".repeat(32);
        let query: &'static str = Box::leak(format!("id=1,2&root={hex}&id=3%2C4").into_boxed_str());
        let parameters = of("", query);
        assert_eq!(
            parameters.query_hex::<Root>("root", 32).ok(),
            Some(Root([0x11; 32]))
        );
        assert_eq!(
            parameters.query_list("id").collect::<Vec<_>>(),
            ["1", "2", "3", "4"]
        );
    }
}
