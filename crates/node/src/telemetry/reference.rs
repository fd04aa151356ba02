//! The table of metrics in words, from which `docs/metrics.md` is made.

use std::fmt::Write as _;

use super::metrics::{Description, SECTIONS};

/// The sections of all metrics in Markdown, a table for each.
pub fn markdown() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let head = "| name | kind | labels | meaning | field's name |\n|---|---|---|---|---|\n";
        write!(text, "\n## {}\n\n{head}", section.title)
            .expect("writing to a string does not fail");
        section.metrics.iter().map(row).for_each(|row| text += &row);
    }
    text
}

/// The name as it is scraped.
pub fn scraped(metric: &Description) -> String {
    match metric.kind {
        "counter" => format!("{}_total", metric.name),
        _ => metric.name.to_owned(),
    }
}

fn row(metric: &Description) -> String {
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let is_field = match metric.name.starts_with("flotilla_") {
        true => "no",
        false => "yes",
    };
    format!(
        "| `{}` | {} | {} | {} | {is_field} |\n",
        scraped(metric),
        metric.kind,
        labels.join(", "),
        metric.help
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::path::Path;

    use super::*;

    const MARK: &str = "<!-- From here on made from crates/node/src/telemetry/metrics.rs; see the first lines. -->\n";

    /// Set `FLOTILLA_WRITE_DOCS=1` to write the document anew.
    #[test]
    fn the_document_of_metrics_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let text = fs::read_to_string(&path).unwrap();
        let (written, _) = text.split_once(MARK).unwrap();
        let current = format!("{written}{MARK}{}", markdown());
        if std::env::var_os("FLOTILLA_WRITE_DOCS").is_some() {
            fs::write(&path, &current).unwrap();
        } else {
            assert!(
                text == current,
                "run `FLOTILLA_WRITE_DOCS=1 cargo test -p flotilla-node document_of_metrics`"
            );
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = SECTIONS
            .iter()
            .flat_map(|section| section.metrics)
            .map(scraped)
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
