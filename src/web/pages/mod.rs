//! What people see in a browser: rendered here from `templates/pages`, complete without JavaScript.

mod application;
mod assets;
mod card;
mod decide;
mod error_words;
mod figures;
mod foreign_text;
mod forms;
mod inbox;
mod link;
mod login;
mod match_page;
mod sending;
mod session;
mod settings;
mod settings_form;
mod stats;
mod status;
mod visit;
mod week;
mod when;

use std::sync::OnceLock;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;

use super::{Web, bodies};
use crate::templates::Templates;

use visit::Named;
pub(in crate::web) use visit::Visit;

/// What the pages keep while the service runs.
pub(super) struct Room {
    assets: OnceLock<assets::Assets>,
    attempts: session::Attempts,
    /// Forms of whoever is not logged in.
    forms: bodies::Room,
}

impl Default for Room {
    fn default() -> Self {
        let forms = bodies::Room::of(forms::ROOM);
        Self { assets: OnceLock::default(), attempts: session::Attempts::default(), forms }
    }
}

impl Room {
    /// Style, script and icon as the templates have them; made when the first page is asked for.
    fn assets(&self, templates: &Templates) -> &assets::Assets {
        self.assets.get_or_init(|| assets::Assets::new(templates))
    }
}

/// Every page.
pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/", get(inbox::page))
        .route("/matches/{iid}", get(match_page::page))
        .route("/matches/{iid}/application", get(to_the_match).post(application::post))
        .route("/decide", get(to_the_inbox).post(decide::post))
        .route("/a/{token}", get(link::page).post(link::post).layer(map_response(link::tell_nobody)))
        .route("/stats", get(stats::page))
        .route("/settings", get(settings::page).post(settings::post))
        .route("/settings/test", get(to_the_settings).post(settings::test))
        .route("/status", get(status::page))
        .route("/login", get(login::page).post(login::post))
        .route("/logout", get(to_the_inbox).post(login::logout))
        .route("/assets/{name}", get(assets::get))
        .merge(sending::routes())
}

/// Where somebody opens the address of a form once more: to the page that the form is on.
async fn to_the_inbox(visit: Visit) -> Response {
    visit.go("/")
}

async fn to_the_match(visit: Visit, Named(iid): Named) -> Response {
    visit.go(&format!("/matches/{}", iid.parse().unwrap_or(0_u64)))
}

async fn to_the_settings(visit: Visit) -> Response {
    visit.go("/settings")
}
