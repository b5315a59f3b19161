//! A notice in the form of each channel. The words stand in templates; what a channel allows is kept here, whatever a
//! match holds and whatever somebody made of a template.

mod facts;
mod slack;
mod whatsapp;

pub use slack::slack;
pub use whatsapp::whatsapp;

use crate::templates::TemplateError;

/// Why a notice has no form for a channel. Always a template's fault, for what a match holds is cut to fit.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The template does not make the JSON that it should.
    #[error("the template {template} makes no usable JSON: {error}")]
    NoJson {
        /// The template.
        template: String,
        /// What is wrong with it, and where.
        error: serde_json::Error,
    },
    /// The template makes more than the channel takes, or something that it does not know.
    #[error("the template {template} makes a message that would be refused: {what}")]
    Refused {
        /// The template.
        template: String,
        /// What is too much or missing, and how much is allowed.
        what: String,
    },
}
