//! A real browser, headless, driven over WebDriver (W3C; what begins with `goog` is chromedriver's own).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = stream.write_all(request.as_bytes());
            // The driver answers when the browser is gone, and keeps the connection all the same.
            let _ = stream.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Whether there are a browser and its driver. `tests/run` installs them and wants these tests; elsewhere they are left
/// out where there are none.
fn installed() -> bool {
    let runs = |name: &str| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let there = ["chromium", "chromium-browser", "google-chrome"].iter().any(|name| runs(name))
        && runs("chromedriver");
    let wanted = std::env::var_os("VORHOELLE_TEST_BROWSER").is_some();
    assert!(there || !wanted, "chromium and chromedriver are wanted: apt install chromium chromium-driver");
    there
}

/// Starts a driver on a port of its own. It takes one that is free for IPv4 and gives up where IPv6 has it, so that it is
/// asked a few times.
fn start() -> (Child, u16) {
    for _ in 0..20 {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn();
        let mut driver = driver.expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            line.unwrap()
                .strip_prefix("ChromeDriver was started successfully on port ")?
                .strip_suffix('.')?
                .parse()
                .ok()
        });
        if let Some(port) = port {
            // What it says from now on is read, so that it never waits for us.
            std::thread::spawn(move || lines.for_each(drop));
            return (driver, port);
        }
        driver.wait().unwrap();
    }
    panic!("chromedriver found no port to listen on");
}

impl Browser {
    /// Opens a browser on a service; none where the machine has none.
    pub async fn open(base: String, look: Look) -> Option<Self> {
        if !installed() {
            eprintln!(
                "skipped: no chromium with its chromedriver on this machine; as root, tests/run installs them"
            );
            return None;
        }
        let (driver, port) = start();
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
        let answer = self.ask(method, path, body.clone()).await;
        answer.unwrap_or_else(|error| panic!("{path} {body}: {}", error["message"]))
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        let value = answer["value"].take();
        if value["error"].is_null() { Ok(value) } else { Err(value) }
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

    /// Clicks an element; a link or a button leads to another page, which is there when this returns.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        // In the middle of the window nothing that sticks to its edge is in the way.
        let script = "arguments[0].scrollIntoView({ block: 'center' });
            return arguments[0].matches('a[href], button:not([type=button])')";
        let argument = json!({ ELEMENT: element });
        let arguments = json!({ "script": script, "args": [argument] });
        let leads_on = self.call(Method::POST, "/execute/sync", arguments).await == true;
        let path = format!("/element/{element}/click");
        let click = self.call(Method::POST, &path, json!({}));
        if leads_on {
            self.follow(click).await;
        } else {
            click.await;
        }
    }

    /// Does something that leads to another page, and waits for that.
    #[expect(clippy::disallowed_methods, reason = "a real browser has a time of its own")]
    async fn follow(&self, act: impl Future<Output = Value>) {
        let page = self.element("html").await;
        act.await;
        for _ in 0..600 {
            let path = format!("/element/{page}/name");
            // What was on the page that was left is stale, and tells so.
            if self.ask(Method::GET, &path, Value::Null).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("nothing led to another page");
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

    /// Presses a key that leads to another page.
    pub async fn press_and_follow(&self, key: char) {
        self.follow(async {
            self.press(key).await;
            Value::Null
        })
        .await;
    }

    /// Drags an element into another one with the mouse, which leads to another page.
    pub async fn drag(&self, what: &str, into: &str) {
        let (what, into) = (self.element(what).await, self.element(into).await);
        let to = |element: &str, y: i32| json!({ "type": "pointerMove", "origin": { ELEMENT: element }, "x": 0, "y": y, "duration": 50 });
        let (down, up) =
            (json!({ "type": "pointerDown", "button": 0 }), json!({ "type": "pointerUp", "button": 0 }));
        // A drag begins with a small movement.
        let actions = json!([to(&what, 0), down, to(&what, 5), to(&into, 0), to(&into, 5), up]);
        let mouse = json!([{ "type": "pointer", "id": "mouse", "actions": actions }]);
        self.follow(self.call(Method::POST, "/actions", json!({ "actions": mouse }))).await;
    }

    /// A picture of the window.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self.call(Method::GET, "/screenshot", Value::Null).await;
        base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }

    /// A picture of the whole page, however long it is.
    pub async fn whole_picture(&self) -> Vec<u8> {
        let picture = self.devtools("Page.captureScreenshot", json!({ "captureBeyondViewport": true })).await;
        base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
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
