//! Everything that may happen to one place of a JSON file.

use serde_json::{Map, Value, json};

/// A file that differs from the original in one place.
pub struct Mutant {
    /// JSON path of the place, as errors write it; empty for the whole file.
    pub path: String,
    /// What was done there.
    pub change: String,
    /// The file.
    pub text: String,
}

/// Marks where a key is to stand a second time, which a map cannot hold.
const SECOND: &str = "\u{1}second";

/// Every mutant of `file`, place by place.
pub fn all(file: &Value) -> Vec<Mutant> {
    let mut places = Vec::new();
    walk(file, String::new(), String::new(), &mut places);
    let mut mutants = Vec::new();
    for (pointer, path) in places {
        let value = file.pointer(&pointer).unwrap();
        for (change, changed) in changes(value) {
            let mut mutant = file.clone();
            *mutant.pointer_mut(&pointer).unwrap() = changed;
            let mut text = mutant.to_string();
            if let Some(key) = change.strip_prefix("twice ") {
                text = text.replace(&Value::from(SECOND).to_string(), &format!("{key:?}"));
            }
            mutants.push(Mutant {
                path: path.clone(),
                change,
                text,
            });
        }
    }
    mutants
}

/// JSON pointer and path of every value, the inner ones of objects and lists too.
fn walk(value: &Value, pointer: String, path: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{key}");
                walk(inner, format!("{pointer}/{key}"), path, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                walk(inner, format!("{pointer}/{index}"), path, found);
            }
        }
        _ => {}
    }
    found.push((pointer, path));
}

fn changes(value: &Value) -> Vec<(String, Value)> {
    let mut found = match value {
        Value::String(text) => text_changes(text),
        Value::Number(number) => number_changes(number.as_i64().unwrap()),
        Value::Bool(flag) => vec![("negated".to_owned(), json!(!flag))],
        Value::Array(items) => list_changes(items),
        Value::Object(members) => object_changes(members),
        Value::Null => Vec::new(),
    };
    let others = [
        ("null", json!(null)),
        ("a flag", json!(true)),
        ("a number", json!(7)),
        ("a negative number", json!(-1)),
        ("a fraction", json!(1.5)),
        ("a text", json!("seven")),
        ("an empty list", json!([])),
        ("an empty object", json!({})),
        ("a list in a list", json!([[]])),
        ("deep nesting", nested(200)),
    ];
    found.extend(others.map(|(name, other)| (name.to_owned(), other)));
    found.retain(|(_, changed)| changed != value);
    found
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

fn text_changes(text: &str) -> Vec<(String, Value)> {
    let mut found = vec![
        ("longer".to_owned(), format!("{text}0")),
        ("longer by two".to_owned(), format!("{text}00")),
        ("no digit".to_owned(), format!("{text}g")),
        ("blank after".to_owned(), format!("{text} ")),
        ("zero byte after".to_owned(), format!("{text}\0")),
        ("emptied".to_owned(), String::new()),
        (
            "very long".to_owned(),
            format!("{text}{}", "ab".repeat(5_000)),
        ),
        ("bytes for nothing".to_owned(), "0x00".to_owned()),
    ];
    let characters: Vec<char> = text.chars().collect();
    let hex = text.strip_prefix("0x").is_some();
    let start = if hex { 2 } else { 0 };
    let places = [
        start,
        start + 1,
        characters.len() / 2,
        characters.len().saturating_sub(1),
    ];
    for place in places.into_iter().filter(|place| *place < characters.len()) {
        let mut changed = characters.clone();
        changed[place] = flipped(changed[place]);
        let name = format!("character {place} changed");
        found.push((name, changed.into_iter().collect()));
    }
    for cut in (1..=2).filter(|cut| *cut < characters.len()) {
        let kept = characters[..characters.len() - cut].iter().collect();
        found.push((format!("shorter by {cut}"), kept));
    }
    if hex && characters.len() == 132 {
        // A recovery number of 0 or 1 in the other numbering.
        let (kept, last) = text.split_at(130);
        let number = u8::from_str_radix(last, 16).unwrap().wrapping_add(27);
        found.push((
            "27 more at the end".to_owned(),
            format!("{kept}{number:02x}"),
        ));
    }
    let found = found.into_iter();
    found
        .map(|(name, text)| (name, Value::String(text)))
        .collect()
}

/// Another character of the same kind, so that the text stays as well formed as it was: the lowest
/// bit of a hex digit flips.
fn flipped(character: char) -> char {
    match character {
        '0'..='9' | 'a'..='f' => {
            let digit = character.to_digit(16).unwrap() ^ 1;
            char::from_digit(digit, 16).unwrap()
        }
        'A'..='F' => match character {
            'F' => 'E',
            _ => char::from(character as u8 + 1),
        },
        'x' => 'y',
        _ => 'x',
    }
}

fn number_changes(number: i64) -> Vec<(String, Value)> {
    vec![
        ("one more".to_owned(), json!(number + 1)),
        ("one less".to_owned(), json!(number - 1)),
        ("lowest bit".to_owned(), json!(number ^ 1)),
        ("a high bit".to_owned(), json!(number ^ (1 << 40))),
        ("zero".to_owned(), json!(0)),
        ("the largest".to_owned(), json!(u64::MAX)),
        ("in quotes".to_owned(), json!(number.to_string())),
    ]
}

fn list_changes(items: &[Value]) -> Vec<(String, Value)> {
    let mut found = vec![("one null more".to_owned(), {
        let mut longer = items.to_vec();
        longer.push(Value::Null);
        Value::Array(longer)
    })];
    for (index, item) in items.iter().enumerate() {
        let mut shorter = items.to_vec();
        shorter.remove(index);
        found.push((format!("without [{index}]"), Value::Array(shorter)));
        let mut longer = items.to_vec();
        longer.insert(index, item.clone());
        found.push((format!("[{index}] twice"), Value::Array(longer)));
        for other in index + 1..items.len() {
            let mut swapped = items.to_vec();
            swapped.swap(index, other);
            found.push((
                format!("[{index}] and [{other}] swapped"),
                Value::Array(swapped),
            ));
            let mut copied = items.to_vec();
            copied[other] = item.clone();
            found.push((format!("[{other}] like [{index}]"), Value::Array(copied)));
        }
    }
    found
}

fn object_changes(members: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in members {
        let mut without = members.clone();
        without.remove(key);
        found.push((format!("without {key}"), Value::Object(without.clone())));
        without.insert(format!("{key}_"), value.clone());
        found.push((format!("{key} renamed"), Value::Object(without)));
        let mut twice = members.clone();
        twice.insert(SECOND.to_owned(), value.clone());
        found.push((format!("twice {key}"), Value::Object(twice)));
        for (other, other_value) in members.iter().filter(|(other, _)| *other > key) {
            let mut swapped = members.clone();
            swapped.insert(key.clone(), other_value.clone());
            swapped.insert(other.clone(), value.clone());
            found.push((format!("{key} and {other} swapped"), Value::Object(swapped)));
        }
    }
    found
}
