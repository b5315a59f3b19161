//! `vorhoelle list` and `vorhoelle show IID`.

use std::process::ExitCode;

use anyhow::bail;

use super::{Context, print};
use crate::domain::State;
use crate::domain::posted::clean_line;
use crate::mirror::{Query, Record, Sort, Standing};

/// List matches, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle list --state pending --json")]
pub(super) struct Arguments {
    /// Only those in this state: pending, approved, rejected or sent.
    #[arg(long)]
    state: Option<State>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

/// Show one match with its history.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle show 57")]
pub(super) struct ShowArguments {
    /// The number.
    iid: u64,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let engine = context.engine().await?;
    let query = Query {
        state: arguments.state,
        min_score: None,
        words: Vec::new(),
        since: None,
        sort: Sort::Created,
        after: None,
        limit: arguments.limit,
    };
    let (records, _) = engine.mirror().list(&query)?;
    if arguments.json {
        print(&serde_json::to_string_pretty(&records)?);
        return Ok(ExitCode::SUCCESS);
    }
    for record in &records {
        print(&line(record, context.colour));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(arguments: ShowArguments, context: &Context) -> anyhow::Result<ExitCode> {
    let engine = context.engine().await?;
    let record = engine.mirror().record(arguments.iid)?.filter(|record| record.standing == Standing::Live);
    let Some(record) = record else { bail!("there is no match {}", arguments.iid) };
    let steps = engine.mirror().steps(record.iid)?;
    if arguments.json {
        let json = serde_json::json!({ "match": record, "history": steps });
        print(&serde_json::to_string_pretty(&json)?);
        return Ok(ExitCode::SUCCESS);
    }
    print(&line(&record, context.colour));
    print(&record.web_url);
    for step in steps {
        print(&format!("{}  {} → {}  {}", step.at, step.from, step.to, clean_line(&step.by)));
    }
    Ok(ExitCode::SUCCESS)
}

/// One match in one line. Foreign text loses what a terminal would obey.
fn line(record: &Record, colour: bool) -> String {
    let score =
        record.job.score.map_or_else(|| "   ".to_owned(), |score| format!("{:>3}", score.whole_percent()));
    let company = record.job.company.as_ref().or(record.job.agency.as_ref());
    let company = company.map(|company| format!(" – {}", clean_line(company))).unwrap_or_default();
    let state = format!("{:<8}", record.state);
    let state = if colour { format!("\x1b[{}m{state}\x1b[0m", code(record.state)) } else { state };
    format!("{:>5}  {state}  {score}  {}{company}", format!("#{}", record.iid), clean_line(&record.job.title))
}

const fn code(state: State) -> u8 {
    match state {
        State::Pending => 33,
        State::Approved => 32,
        State::Rejected => 31,
        State::Sent => 35,
    }
}
