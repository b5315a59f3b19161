//! What a match is and what may happen to it: no I/O, no async, no clock.

pub mod action_link;
pub mod channel;
pub mod decide;
pub mod decision_comment;
pub mod hex;
pub mod history;
pub mod identity;
pub mod inert;
pub mod job_match;
pub mod language;
pub mod masked;
pub mod numbers;
pub mod posted_json;
pub mod posted_match;
pub mod schedule;
pub mod sending;
pub mod state;
pub mod this_machine;
pub mod tracker;

pub use channel::Channel;
pub use hex::hex;
pub use job_match::JobMatch;
pub use language::Language;
pub use state::State;
pub use tracker::Application;
