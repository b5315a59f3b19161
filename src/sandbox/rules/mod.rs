//! What may be done with the world, and what follows from it. One topic a file.

mod boards;
mod changes;
mod commands;
mod hooks;
mod issues;
mod labels;
mod lifecycle;
mod notes;
mod reactions;
mod todos;

pub use boards::Column;
pub use hooks::HookChange;
pub use issues::{IssueChange, NewIssue};
pub use labels::LabelChange;
pub use notes::Commented;

pub(super) use issues::too_long;
