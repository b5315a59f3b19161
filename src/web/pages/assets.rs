//! Style, script and icon, from our own address and kept by browsers for as long as they are the same.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::visit::Named;
use crate::domain::hex;
use crate::templates::Templates;
use crate::web::Web;
use crate::web::problem::Problem;

/// What a page loads.
pub(super) struct Assets {
    style: Asset,
    script: Asset,
    icon: Asset,
}

struct Asset {
    content_type: &'static str,
    text: String,
    version: String,
}

/// The addresses of what a page loads; they change with what is behind them.
#[derive(Serialize)]
pub(super) struct Addresses {
    style: String,
    script: String,
    icon: String,
}

impl Asset {
    fn new(templates: &Templates, name: &str, content_type: &'static str) -> Self {
        let text = templates.render(&format!("pages/{name}"), ()).unwrap_or_else(|error| {
            tracing::error!(%error, "a page will look wrong");
            String::new()
        });
        let version = hex(&Sha256::digest(&text)[..8]);
        Self { content_type, text, version }
    }
}

impl Assets {
    /// Style, script and icon as the templates have them.
    pub(super) fn new(templates: &Templates) -> Self {
        Self {
            style: Asset::new(templates, "style.css", "text/css; charset=utf-8"),
            script: Asset::new(templates, "script.js", "text/javascript; charset=utf-8"),
            icon: Asset::new(templates, "icon.svg", "image/svg+xml"),
        }
    }

    /// Where they are, below `root`.
    pub(super) fn addresses(&self, root: &str) -> Addresses {
        let of = |name: &str, asset: &Asset| format!("{root}/assets/{name}?v={}", asset.version);
        Addresses {
            style: of("style.css", &self.style),
            script: of("script.js", &self.script),
            icon: of("icon.svg", &self.icon),
        }
    }

    fn get(&self, name: &str) -> Option<&Asset> {
        match name {
            "style.css" => Some(&self.style),
            "script.js" => Some(&self.script),
            "icon.svg" => Some(&self.icon),
            _ => None,
        }
    }
}

/// Which version is asked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    v: String,
}

/// Answers with a file.
pub(super) async fn get(
    State(web): State<Web>,
    Named(name): Named,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Some(asset) = web.inner.pages.assets(web.engine().templates()).get(&name) else {
        return Problem::new(StatusCode::NOT_FOUND).into_response();
    };
    // An address names its version, so that the same address never has another answer.
    let is_this_one = wanted.is_ok_and(|Query(wanted)| wanted.v == asset.version);
    let kept = if is_this_one { "public, max-age=31536000, immutable" } else { "no-cache" };
    let tag = format!("\"{}\"", asset.version);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let head = [(header::CACHE_CONTROL, kept.to_owned()), (header::ETAG, tag)];
    if known {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(header::CONTENT_TYPE, asset.content_type)], asset.text.clone()).into_response()
}
