//! A person at the page: finds things by role and name, as a screen reader does, and uses them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browser;

/// Where pictures go: not in git.
const PICTURES: &str = "browser/pictures";

/// Something on the page, as a person would name it. A name between slashes is a regular expression.
#[derive(Clone, Debug)]
pub struct Thing(Value);

/// A thing of that role (ARIA) and name.
pub fn role(role: &str, name: &str) -> Thing {
    Thing(json!({"role": role, "name": name}))
}

macro_rules! roles {
    ($($name:ident: $role:literal),* $(,)?) => {
        $(#[doc = concat!("A ", $role, " of that name.")]
        pub fn $name(name: &str) -> Thing {
            role($role, name)
        })*
    };
}

roles! {
    button: "button", link: "link", heading: "heading", row: "row", region: "region", dialog: "dialog", textbox: "textbox",
    checkbox: "checkbox", radio: "radio", combobox: "combobox", slider: "slider", meter: "meter", alert: "alert", tab: "tab",
    menuitem: "menuitem", searchbox: "searchbox", spinbutton: "spinbutton",
}

/// Whatever has these words.
pub fn text(words: &str) -> Thing {
    Thing(json!({"text": words}))
}

/// Whatever has this label.
pub fn label(words: &str) -> Thing {
    Thing(json!({"label": words}))
}

/// For what has neither role nor name.
pub fn css(selector: &str) -> Thing {
    Thing(json!({"css": selector}))
}

impl Thing {
    /// Only in there.
    #[must_use]
    pub fn within(mut self, outer: &Self) -> Self {
        self.0["within"] = outer.0.clone();
        self
    }

    /// Only with these words in it.
    #[must_use]
    pub fn with(mut self, words: &str) -> Self {
        self.0["has"] = json!(words);
        self
    }

    /// The n-th of several, from 0.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.0["nth"] = json!(n);
        self
    }
}

/// How the person's device is.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    pub width: u32,
    pub height: u32,
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// `no-preference` or `reduce`.
    pub motion: &'static str,
    /// `none` or `active`: forced colours.
    pub colours: &'static str,
    pub language: &'static str,
}

/// A desk.
pub const DESKTOP: Device =
    Device { width: 1440, height: 900, scheme: "light", motion: "no-preference", colours: "none", language: "en-GB" };
/// A phone.
pub const MOBILE: Device = Device { width: 390, height: 844, ..DESKTOP };

/// A person with a window of their own; it closes when dropped, and must have had no trouble.
pub struct Person {
    who: String,
}

impl Person {
    /// Sits down at the device.
    pub fn at(device: Device) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let person = Self { who: format!("person {}", COUNT.fetch_add(1, Ordering::Relaxed)) };
        let Device { width, height, scheme, motion, colours, language } = device;
        person.does(
            "arrive",
            json!({"width": width, "height": height, "scheme": scheme, "motion": motion, "colours": colours, "language": language}),
        );
        person
    }

    /// Something that this module has no verb for.
    pub fn does(&self, what: &str, how: Value) -> Value {
        browser::command(&self.who, what, how)
    }

    /// Goes to an address.
    pub fn goes(&self, url: &str) {
        self.does("go", json!({"url": url}));
    }

    /// Clicks.
    pub fn clicks(&self, thing: &Thing) {
        self.does("click", json!({"thing": thing.0}));
    }

    /// Writes into a field, in place of what is there.
    pub fn fills(&self, thing: &Thing, text: &str) {
        self.does("fill", json!({"thing": thing.0, "text": text}));
    }

    /// Chooses from a list.
    pub fn chooses(&self, thing: &Thing, option: &str) {
        self.does("choose", json!({"thing": thing.0, "option": option}));
    }

    /// Ticks a box or a radio button.
    pub fn ticks(&self, thing: &Thing) {
        self.does("tick", json!({"thing": thing.0, "on": true}));
    }

    /// Takes the tick away.
    pub fn unticks(&self, thing: &Thing) {
        self.does("tick", json!({"thing": thing.0, "on": false}));
    }

    /// Moves a slider.
    pub fn slides(&self, thing: &Thing, to: i32) {
        self.does("slide", json!({"thing": thing.0, "to": to}));
    }

    /// Presses keys, one after the other.
    pub fn presses(&self, keys: &[&str]) {
        for key in keys {
            self.does("press", json!({"key": key}));
        }
    }

    /// Types where the focus is.
    pub fn types(&self, text: &str) {
        self.does("type", json!({"text": text}));
    }

    /// It is there within 10 s.
    pub fn sees(&self, thing: &Thing) {
        self.does("see", json!({"thing": thing.0}));
    }

    /// It is there within that time.
    pub fn sees_within(&self, thing: &Thing, time: Duration) {
        self.does("see", json!({"thing": thing.0, "patience": time.as_millis() as u64}));
    }

    /// It is not there (any more) within 10 s.
    pub fn misses(&self, thing: &Thing) {
        self.does("miss", json!({"thing": thing.0}));
    }

    /// Whether it is there now.
    pub fn has(&self, thing: &Thing) -> bool {
        self.counts(thing) > 0
    }

    /// How many there are now.
    pub fn counts(&self, thing: &Thing) -> u64 {
        self.does("count", json!({"thing": thing.0})).as_u64().unwrap()
    }

    /// Its words.
    pub fn reads(&self, thing: &Thing) -> String {
        self.does("read", json!({"thing": thing.0})).as_str().unwrap().to_owned()
    }

    /// What a field holds.
    pub fn value(&self, thing: &Thing) -> String {
        self.does("value", json!({"thing": thing.0})).as_str().unwrap().to_owned()
    }

    /// What it says of itself to machines.
    pub fn attribute(&self, thing: &Thing, name: &str) -> Option<String> {
        self.does("attribute", json!({"thing": thing.0, "name": name})).as_str().map(str::to_owned)
    }

    /// A box or radio button has its tick.
    pub fn is_ticked(&self, thing: &Thing) -> bool {
        self.does("is", json!({"thing": thing.0, "what": "checked"})) == true
    }

    /// What holds the focus: role or tag, and words.
    pub fn focus(&self) -> String {
        self.does("focus", json!({})).as_str().unwrap().to_owned()
    }

    /// The page as a screen reader has it.
    pub fn outline(&self) -> String {
        self.does("outline", json!({})).as_str().unwrap().to_owned()
    }

    /// Clicks for a file: its name and text.
    pub fn downloads(&self, thing: &Thing) -> (String, String) {
        let file = self.does("download", json!({"thing": thing.0}));
        (file["name"].as_str().unwrap().to_owned(), file["text"].as_str().unwrap().to_owned())
    }

    /// Runs a piece of JavaScript in the page.
    pub fn runs(&self, code: &str) -> Value {
        self.does("run", json!({"code": code}))
    }

    /// Errors with this in them are part of the story.
    pub fn forgives(&self, text: &str) {
        self.does("forgive", json!({"text": text}));
    }

    /// What is heard now at these frequencies.
    pub fn hears(&self, hertz: &[u32]) -> Ears {
        Ears(self.does("ears", json!({"hertz": hertz})))
    }

    /// Waits until something is true.
    ///
    /// # Panics
    /// It does not become true within 10 s: with what the page is like.
    pub fn until(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !so(self) {
            assert!(Instant::now() < end, "never true: {what}\n{}", self.outline());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Takes a picture of the whole page for people to look at.
    pub fn shoots(&self, name: &str) {
        self.does("shot", json!({"path": picture(name)}));
    }

    /// No rule of WCAG 2.2 AA or of good practice is broken, as far as axe sees.
    pub fn is_accessible(&self, state: &str) {
        let broken = self.does("axe", json!({}));
        assert_eq!(broken, json!([]), "{state}");
    }

    /// Accessible and worth a picture, light and dark, on a wide and on the narrowest screen.
    pub fn looks_right(&self, state: &str) {
        for (width, height) in [(320, 640), (1440, 900)] {
            self.does("resize", json!({"width": width, "height": height}));
            for scheme in ["dark", "light"] {
                self.does("look", json!({"scheme": scheme}));
                // what glides has arrived
                std::thread::sleep(Duration::from_millis(400));
                self.is_accessible(&format!("{state}, {scheme}, {width} px"));
                self.shoots(&format!("{state}-{width}-{scheme}"));
            }
            let wide = self.runs("document.documentElement.scrollWidth");
            assert!(wide.as_u64() <= Some(width), "{state} is {wide} px wide on a screen of {width}");
        }
    }

    /// Presses Tab until that (as [`Person::focus`] tells) has the focus.
    pub fn tabs_to(&self, what: &str) {
        for _ in 0..80 {
            if self.focus() == what {
                return;
            }
            self.presses(&["Tab"]);
        }
        panic!("Tab never comes to {what}: {}", self.outline());
    }

    /// Layout shift, long tasks, bytes that came, whether a microphone was asked for.
    pub fn figures(&self) -> Value {
        self.does("figures", json!({}))
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
            let path = picture(&format!("failed-{name}-{}", self.who.replace(' ', "-")));
            let _ = browser::attempt(&self.who, "shot", json!({"path": path}));
            eprintln!("{} complained: {:?}; picture: {}", self.who, browser::troubles(&self.who), path.display());
            let _ = browser::attempt(&self.who, "leave", json!({}));
            return;
        }
        let figures = browser::attempt(&self.who, "figures", json!({}));
        self.does("leave", json!({}));
        let troubles = browser::troubles(&self.who);
        assert!(troubles.is_empty(), "{} had trouble: {troubles:#?}", self.who);
        assert!(figures.is_ok_and(|f| f["asked"] == 0), "nobody was asked for a microphone");
    }
}

/// What is heard: `agent` and `caller` as the two tracks arrive, `left` and `right` as they go to the loudspeakers.
#[derive(Clone, Debug)]
pub struct Ears(Value);

impl Ears {
    /// Share of a side's power at a frequency; 0 in silence.
    pub fn share(&self, side: &str, hz: u32) -> f64 {
        self.0[side][hz.to_string()].as_f64().unwrap_or(0.0)
    }

    /// A side's mean square, full scale being 1.
    pub fn power(&self, side: &str) -> f64 {
        self.0[side]["power"].as_f64().unwrap_or(0.0)
    }
}

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PICTURES).join(format!("{name}.png"))
}
