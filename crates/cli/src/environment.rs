//! Flags from the environment: `FLOTILLA_<NAME>`, then `CHARON_<NAME>`, so that launch scripts made for Charon go on working.
//!
//! The command line beats both. If both variables are set, ours wins, with a warning.

use std::ffi::OsString;

use clap::Command;

/// Adds to `arguments` what the environment says about flags that the command line leaves out; returns warnings as well.
pub fn complete(
    command: &Command,
    mut arguments: Vec<OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> (Vec<OsString>, Vec<String>) {
    let mut warnings = Vec::new();
    let mut found = Vec::new();
    for flag in chosen(command, &arguments)
        .get_arguments()
        .filter_map(clap::Arg::get_long)
    {
        if flag == "help" || flag == "version" || on_command_line(&arguments, flag) {
            continue;
        }
        let name = flag.to_uppercase().replace('-', "_");
        let (ours, theirs) = (format!("FLOTILLA_{name}"), format!("CHARON_{name}"));
        let value = match (variable(&ours), variable(&theirs)) {
            (Some(value), Some(other)) => {
                if value != other {
                    warnings.push(format!("{ours} and {theirs} are both set; {ours} counts"));
                }
                Some(value)
            }
            (value, other) => value.or(other),
        };
        found.extend(value.map(|value| OsString::from(format!("--{flag}={value}"))));
    }
    arguments.extend(found);
    (arguments, warnings)
}

/// The subcommand that the arguments name, as deep as they name one.
fn chosen<'a>(command: &'a Command, arguments: &[OsString]) -> &'a Command {
    let words = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str());
    words
        .take_while(|word| !word.starts_with('-'))
        .fold(command, |command, word| {
            command.find_subcommand(word).unwrap_or(command)
        })
}

fn on_command_line(arguments: &[OsString], flag: &str) -> bool {
    arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .any(|argument| {
            argument
                .strip_prefix("--")
                .is_some_and(|argument| argument.split('=').next() == Some(flag))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn command() -> Command {
        Command::new("flotilla")
            .subcommand(Command::new("run").arg(Arg::new("data-dir").long("data-dir")))
    }

    fn completed(arguments: &[&str], variables: &[(&str, &str)]) -> (Vec<String>, usize) {
        let arguments = arguments.iter().map(OsString::from).collect();
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let (arguments, warnings) = complete(&command(), arguments, variable);
        (
            arguments
                .into_iter()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            warnings.len(),
        )
    }

    #[test]
    fn the_command_line_beats_the_environment() {
        let (arguments, _) = completed(
            &["flotilla", "run", "--data-dir=a"],
            &[("FLOTILLA_DATA_DIR", "b")],
        );
        assert_eq!(arguments, ["flotilla", "run", "--data-dir=a"]);
    }

    #[test]
    fn our_variable_beats_the_other_with_a_warning() {
        let both = [("FLOTILLA_DATA_DIR", "ours"), ("CHARON_DATA_DIR", "theirs")];
        assert_eq!(
            completed(&["flotilla", "run"], &both),
            (
                vec!["flotilla".into(), "run".into(), "--data-dir=ours".into()],
                1
            )
        );
    }

    #[test]
    fn variables_of_the_field_are_read() {
        let (arguments, warnings) =
            completed(&["flotilla", "run"], &[("CHARON_DATA_DIR", "theirs")]);
        assert_eq!(arguments[2], "--data-dir=theirs");
        assert_eq!(warnings, 0);
    }
}
