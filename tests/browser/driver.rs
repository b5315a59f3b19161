//! A real browser, headless, driven over WebDriver (W3C; what begins with `goog` is chromedriver's own).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// How an element is named in answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How a window differs from the usual one.
#[derive(Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
    pub language: &'static str,
    pub scripts: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1280, height: 900, dark: false, language: "en", scripts: true }
    }
}

/// A browser with one window.
pub struct Browser {
    driver: Child,
    http: Client,
    session: String,
    base: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A driver that is killed leaves its browser behind: the session is ended first. Here nothing can be awaited.
        if let Some((host, path)) = self.session.trim_start_matches("http://").split_once('/')
            && let Ok(mut stream) = std::net::TcpStream::connect(host)
        {
            let request = format!("DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Whether there is a browser; a machine without one skips these tests, one without its driver fails them.
fn installed() -> bool {
    ["chromium", "chromium-browser", "google-chrome"].iter().any(|name| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    })
}

impl Browser {
    /// Opens a browser on a service; none where the machine has none.
    pub async fn open(base: String, look: Look) -> Option<Self> {
        if !installed() {
            eprintln!("skipped: this machine has no browser; as root, tests/run installs one");
            return None;
        }
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn();
        let mut driver = driver.expect("chromedriver is not installed: apt install chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            line.unwrap()
                .strip_prefix("ChromeDriver was started successfully on port ")?
                .strip_suffix('.')?
                .parse()
                .ok()
        });
        let port: u16 = port.expect("chromedriver says where it listens");
        // What it says from now on is read, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let http = Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let session = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, http, session, base };
        let answer = browser.call(Method::POST, "", capabilities(look)).await;
        browser.session = format!("{}/{}", browser.session, answer["sessionId"].as_str().unwrap());
        let theme =
            json!([{ "name": "prefers-color-scheme", "value": if look.dark { "dark" } else { "light" } }]);
        browser.devtools("Emulation.setEmulatedMedia", json!({ "features": theme })).await;
        // A window cannot be as narrow as a telephone; its page can.
        let metrics = json!({ "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": look.width < 500 });
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        Some(browser)
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{path} {body}: {}", value["message"]);
        value
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call(Method::POST, "/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// Goes to a page of the service, or anywhere.
    pub async fn go(&self, path: &str) {
        let url = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        self.call(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// The path and query of the page that is shown.
    pub async fn path(&self) -> String {
        let url = self.call(Method::GET, "/url", Value::Null).await;
        url.as_str().unwrap().strip_prefix(&self.base).unwrap().to_owned()
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.call(Method::POST, "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Runs a script that ends by calling its argument.
    pub async fn run_async(&self, script: &str) -> Value {
        self.call(Method::POST, "/execute/async", json!({ "script": script, "args": [] })).await
    }

    async fn element(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.call(Method::POST, "/element", wanted).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// How many elements there are.
    pub async fn count(&self, selector: &str) -> usize {
        let wanted = json!({ "using": "css selector", "value": selector });
        self.call(Method::POST, "/elements", wanted).await.as_array().unwrap().len()
    }

    /// What an element says to a reader.
    pub async fn text(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        self.call(Method::GET, &format!("/element/{element}/text"), Value::Null)
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Whether an element can be seen.
    pub async fn sees(&self, selector: &str) -> bool {
        let element = self.element(selector).await;
        self.call(Method::GET, &format!("/element/{element}/displayed"), Value::Null).await == true
    }

    /// Clicks an element; where that leads to another page, that is loaded when this returns.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        // In the middle of the window nothing that sticks to its edge is in the way.
        let script = "arguments[0].scrollIntoView({ block: 'center' })";
        let argument = json!({ ELEMENT: element });
        self.call(Method::POST, "/execute/sync", json!({ "script": script, "args": [argument] })).await;
        self.call(Method::POST, &format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into an element, in place of what was there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.call(Method::POST, &format!("/element/{element}/clear"), json!({})).await;
        self.call(Method::POST, &format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Presses a key; WebDriver's names of those that are no letters are private code points.
    pub async fn press(&self, key: char) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.call(Method::POST, "/actions", keyboard).await;
    }

    /// A picture of the window.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self.call(Method::GET, "/screenshot", Value::Null).await;
        base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }

    /// What the browser has to complain about since it was asked last, but for pages that are no 200.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.call(Method::POST, "/se/log", json!({ "type": "browser" })).await;
        let severe = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        let texts = severe.map(|entry| entry["message"].as_str().unwrap().to_owned());
        texts.filter(|text| !text.contains("Failed to load resource: the server responded")).collect()
    }
}

fn capabilities(look: Look) -> Value {
    let scripts = if look.scripts { 1 } else { 2 };
    // Inside a container there is often no sandbox to be had, and little shared memory.
    let arguments =
        ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"];
    let options = json!({
        "args": arguments,
        "prefs": {
            "intl.accept_languages": look.language,
            "profile.managed_default_content_settings.javascript": scripts,
        },
    });
    let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
    json!({ "capabilities": { "alwaysMatch": wanted } })
}
