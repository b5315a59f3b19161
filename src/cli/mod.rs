//! The commands, one file each. Data goes to stdout, what is said about it to stderr.

mod advice;
mod config;
mod csv;
mod decide;
mod demo;
mod doctor;
mod erase;
mod gmail;
mod healthcheck;
mod list;
mod mirror;
mod notify;
mod panics;
mod progress;
mod sandbox;
mod serve;
mod setup;
mod stage;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::app::Parts;
use crate::clock::Clock;
use crate::config::{Environment, Settings, SettingsError};
use crate::engine::Engine;
use crate::gitlab::Patience;

/// What is logged unless `VORHOELLE_LOG` says otherwise.
const DEFAULT_LOG: &str = "info,hyper=warn,reqwest=warn,rusqlite=warn,gitlab=warn";

/// Stages job matches as GitLab issues and follows the reviewer's decision.
#[derive(Debug, Parser)]
#[command(name = "vorhoelle", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Try it without an account:\n  vorhoelle demo")]
struct Arguments {
    /// When to colour what is printed.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    /// Settings file [default: config/notification-channels.yml where it is there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder whose templates override the embedded ones.
    #[arg(long, global = true, value_name = "FOLDER")]
    templates: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole service beside an embedded GitLab sandbox: no account, nothing installed.
    Demo(demo::Arguments),
    /// Run the service against a real GitLab.
    Serve(serve::Arguments),
    /// Run only the embedded GitLab stand-in.
    Sandbox(sandbox::Arguments),
    /// Make labels, board and webhook in the GitLab project; says what it changed.
    Setup(setup::Arguments),
    /// Check everything that has to be right, and say what to do where it is not.
    Doctor(doctor::Arguments),
    /// Stage matches from a JSON file.
    Stage(stage::Arguments),
    /// List matches.
    List(list::Arguments),
    /// Show one match.
    Show(list::ShowArguments),
    /// Decide about a match.
    Decide(decide::Arguments),
    /// Remove a person's data, and say what is left.
    Erase(erase::Arguments),
    /// Read the mirror anew, or compare it with GitLab.
    Mirror(mirror::Arguments),
    /// Send a test message on each channel.
    Notify(notify::Arguments),
    /// Check the settings, or show them with where each comes from.
    Config(config::Arguments),
    /// Ask the service on this machine whether it lives: for containers.
    Healthcheck(healthcheck::Arguments),
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  vorhoelle completions bash > /etc/bash_completion.d/vorhoelle")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The applications tracker as a spreadsheet.
    Csv(csv::Arguments),
    /// Set up sending through Gmail.
    Gmail(gmail::Arguments),
}

/// What every command may use.
struct Context {
    config: Option<PathBuf>,
    environment: Environment,
    colour: bool,
}

impl Context {
    fn settings(&self) -> Result<Settings, SettingsError> {
        Settings::load(self.config.as_deref(), &self.environment)
    }

    /// A service that has read GitLab and follows nobody: for commands that end, maybe beside `serve`.
    async fn parts(&self) -> anyhow::Result<Parts> {
        parts_of(self.settings()?).await
    }

    /// Its engine.
    async fn engine(&self) -> anyhow::Result<Engine> {
        Ok(self.parts().await?.engine)
    }
}

/// [`Context::parts`], of settings that were loaded: a file that holds a secret may be one that can be read but once.
async fn parts_of(settings: Settings) -> anyhow::Result<Parts> {
    let parts = crate::app::assemble(settings, Clock::System, Patience::default())?;
    parts.engine.set_follows(false);
    parts.engine.delta().await?;
    parts.engine.work_off().await;
    Ok(parts)
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    // A picture of the memory would hold every secret. Where the system refuses, the program runs all the same.
    let _ = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0);
    let matches = Arguments::command().color(colour_of_usage()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let mut environment = Environment::of_the_process();
    if let Some(folder) = &arguments.templates {
        environment.set_by_option("TEMPLATES", folder.to_string_lossy());
    }
    if let Some(file) = &arguments.config {
        environment.set_by_option("CONFIG", file.to_string_lossy());
    }
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let coloured = |is_terminal: bool| match arguments.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => is_terminal && !wants_none,
    };
    let colour = coloured(std::io::stdout().is_terminal());
    if let Err(error) = start_log(&environment, coloured(std::io::stderr().is_terminal())) {
        return fail(&error.into());
    }
    std::panic::set_hook(Box::new(panics::log));
    let context = Context { config: arguments.config, environment, colour };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let result = runtime.block_on(run(arguments.command, &context));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// What `--color` says to what is printed before the arguments are understood: help, and what is wrong with them.
fn colour_of_usage() -> clap::ColorChoice {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|one| one.to_string_lossy().into_owned()).collect();
    let mut values =
        arguments.iter().enumerate().filter_map(|(place, one)| match one.strip_prefix("--color")? {
            "" => arguments.get(place + 1).map(String::as_str),
            value => value.strip_prefix('='),
        });
    match values.next_back() {
        Some("never") => clap::ColorChoice::Never,
        Some("always") => clap::ColorChoice::Always,
        _ => clap::ColorChoice::Auto,
    }
}

async fn run(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(arguments) => demo::run(arguments, context).await,
        Command::Serve(arguments) => serve::run(arguments, context).await,
        Command::Sandbox(arguments) => sandbox::run(arguments).await,
        Command::Setup(arguments) => setup::run(arguments, context).await,
        Command::Doctor(arguments) => doctor::run(arguments, context).await,
        Command::Stage(arguments) => stage::run(arguments, context).await,
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => list::show(arguments, context).await,
        Command::Decide(arguments) => decide::run(arguments, context).await,
        Command::Erase(arguments) => erase::run(arguments, context).await,
        Command::Mirror(arguments) => mirror::run(arguments, context).await,
        Command::Notify(arguments) => notify::run(arguments, context).await,
        Command::Config(arguments) => config::run(arguments, context).await,
        Command::Healthcheck(arguments) => healthcheck::run(arguments, context).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vorhoelle", &mut script);
            print(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Csv(arguments) => csv::run(arguments, context).await,
        Command::Gmail(arguments) => gmail::run(arguments, context).await,
    }
}

/// 2 where the settings are at fault, else 1.
fn fail(error: &anyhow::Error) -> ExitCode {
    let advice = advice::about(error).map(|advice| format!("; {advice}"));
    say_error(&format!("{error:#}{}", advice.unwrap_or_default()));
    ExitCode::from(if error.is::<SettingsError>() { 2 } else { 1 })
}

/// Tells people what went wrong.
fn say_error(text: &str) {
    for line in text.lines() {
        say(&format!("vorhoelle: {line}"));
    }
}

/// Reads an issue's number.
fn iid(text: &str) -> Result<u64, String> {
    text.trim_start_matches('#').parse().map_err(|_| "must be an issue's number, such as 57".to_owned())
}

/// The one place that prints what was asked for. Whoever reads it may have heard enough, as `head` has: that is no error.
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) else { return };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    say_error(&format!("the answer cannot be printed: {error}"));
    std::process::exit(1);
}

/// The one place that says what happens. Where nobody can hear it, the work goes on.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn start_log(environment: &Environment, colour: bool) -> Result<(), SettingsError> {
    let wrong = |text: String| SettingsError(vec![text]);
    let filter = EnvFilter::try_new(environment.get("LOG").unwrap_or(DEFAULT_LOG)).map_err(|error| {
        wrong(format!("VORHOELLE_LOG: {error}; a filter looks like info or vorhoelle=debug"))
    })?;
    // A line that cannot be written, on a full disk say, is lost: to tell of that in the same place would end the process.
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    let log = log.with_env_filter(filter).with_writer(std::io::stderr);
    match environment.get("LOG_FORMAT").unwrap_or("text") {
        "text" => log.with_ansi(colour).init(),
        "json" => log.json().flatten_event(true).init(),
        other => return Err(wrong(format!("VORHOELLE_LOG_FORMAT: must be text or json, not {other}"))),
    }
    Ok(())
}

/// Ends when the process is asked to stop.
async fn asked_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}
