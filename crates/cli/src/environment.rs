//! Flags from the environment: `FLOTILLA_<NAME>`, then `CHARON_<NAME>`, so that launch scripts made for Charon go on working.
//!
//! The command line beats both. If both variables are set, ours wins, with a warning. A variable that is set to nothing counts
//! as not set: compose files pass on what a person left out that way.

use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};

/// Commands that Charon does not have: its variables are not meant for them.
const OUR_COMMANDS: [&str; 7] = [
    "testnet",
    "bench",
    "cluster",
    "slashing-protection",
    "pause",
    "resume",
    "version",
];

/// Flags that Charon's commands do not have, though ours of the same name do. Another program's variable that happens to be called
/// like one of them must not decide who signs.
const OUR_FLAGS: [&str; 10] = [
    "signer",
    "signer-file",
    "change-signer",
    "p2p-peer",
    "password-file",
    "private-key-password-file",
    "encrypt",
    "slashing-protection",
    "without-slashing-protection",
    "json",
];

/// Adds to `arguments` what the environment says about flags that the command line leaves out; returns warnings as well.
pub fn complete(
    command: &Command,
    mut arguments: Vec<OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> (Vec<OsString>, Vec<String>) {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut warnings = Vec::new();
    let mut found = Vec::new();
    let is_ours = arguments
        .get(1)
        .and_then(|word| word.to_str())
        .is_some_and(|word| OUR_COMMANDS.contains(&word));
    for argument in chosen(command, &arguments).get_arguments() {
        let Some(flag) = argument.get_long() else {
            continue;
        };
        if flag == "help" || flag == "version" || on_command_line(&arguments, argument) {
            continue;
        }
        let name = flag.to_uppercase().replace('-', "_");
        let (ours, theirs) = (format!("FLOTILLA_{name}"), format!("CHARON_{name}"));
        let of_the_field = (!is_ours && !OUR_FLAGS.contains(&flag))
            .then(|| variable(&theirs))
            .flatten();
        let value = match (variable(&ours), of_the_field) {
            (Some(value), Some(_)) => {
                warnings.push(format!("{ours} and {theirs} are both set; {ours} counts"));
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

fn on_command_line(arguments: &[OsString], wanted: &Arg) -> bool {
    arguments
        .iter()
        .filter_map(|argument| argument.to_str()?.strip_prefix('-'))
        .any(|argument| match argument.strip_prefix('-') {
            Some(long) => long.split('=').next() == wanted.get_long(),
            None => wanted.get_short().is_some() && argument.chars().next() == wanted.get_short(),
        })
}

/// Lets every switch take a value as well, `--no-verify=false`: launch scripts of the field write them so, and a variable has
/// no other way to say no.
pub fn with_boolean_values(command: Command) -> Command {
    command
        .mut_args(|argument| match argument.get_action() {
            ArgAction::SetTrue => argument
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .value_name("BOOL")
                .value_parser(BoolishValueParser::new())
                .default_missing_value("true")
                .default_value("false")
                .hide_possible_values(true)
                .hide_default_value(true),
            _ => argument,
        })
        .mut_subcommands(with_boolean_values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let run = Command::new("run")
            .arg(Arg::new("data-dir").long("data-dir"))
            .arg(Arg::new("signer").long("signer"))
            .arg(Arg::new("threshold").long("threshold").short('t'))
            .arg(
                Arg::new("no-verify")
                    .long("no-verify")
                    .action(ArgAction::SetTrue),
            );
        let pause = Command::new("pause").arg(Arg::new("data-dir").long("data-dir"));
        Command::new("flotilla").subcommand(run).subcommand(pause)
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

    #[test]
    fn variables_of_the_field_do_not_reach_what_it_does_not_have() {
        let variables = [("CHARON_SIGNER", "builtin"), ("CHARON_DATA_DIR", "theirs")];
        let (arguments, _) = completed(&["flotilla", "run"], &variables);
        assert_eq!(arguments, ["flotilla", "run", "--data-dir=theirs"]);
        let (arguments, _) = completed(&["flotilla", "pause"], &variables);
        assert_eq!(arguments, ["flotilla", "pause"]);
        let (arguments, _) = completed(&["flotilla", "pause"], &[("FLOTILLA_DATA_DIR", "ours")]);
        assert_eq!(arguments, ["flotilla", "pause", "--data-dir=ours"]);
    }

    #[test]
    fn a_short_flag_beats_the_environment() {
        for given in [&["-t", "3"][..], &["-t3"], &["--threshold", "3"]] {
            let line = [&["flotilla", "run"], given].concat();
            let (arguments, _) = completed(&line, &[("FLOTILLA_THRESHOLD", "4")]);
            assert_eq!(arguments, line);
        }
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let variables = [("FLOTILLA_DATA_DIR", ""), ("CHARON_DATA_DIR", "theirs")];
        let (arguments, warnings) = completed(&["flotilla", "run"], &variables);
        assert_eq!(arguments, ["flotilla", "run", "--data-dir=theirs"]);
        assert_eq!(warnings, 0);
    }

    #[test]
    fn two_variables_that_agree_are_warned_about_as_well() {
        let both = [("FLOTILLA_DATA_DIR", "same"), ("CHARON_DATA_DIR", "same")];
        assert_eq!(completed(&["flotilla", "run"], &both).1, 1);
    }

    #[test]
    fn switches_take_a_value_from_either_source() {
        let read = |line: &[&str]| {
            let matches = with_boolean_values(command())
                .try_get_matches_from(line)
                .map_err(|error| error.kind())?;
            let run = matches.subcommand_matches("run");
            Ok(run.and_then(|run| run.get_one::<bool>("no-verify").copied()))
        };
        assert_eq!(read(&["flotilla", "run"]), Ok(Some(false)));
        for yes in ["--no-verify", "--no-verify=true", "--no-verify=1"] {
            assert_eq!(read(&["flotilla", "run", yes]), Ok(Some(true)), "{yes}");
        }
        assert_eq!(
            read(&["flotilla", "run", "--no-verify=false"]),
            Ok(Some(false))
        );
        assert_eq!(
            read(&["flotilla", "run", "--no-verify=perhaps"]),
            Err(clap::error::ErrorKind::ValueValidation)
        );
        let (arguments, _) = completed(&["flotilla", "run"], &[("CHARON_NO_VERIFY", "true")]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(read(&arguments), Ok(Some(true)));
    }
}
