//! Moments and clips as signed webhooks.
//!
//! Each transition is one `POST` of CloudEvents JSON, as Redis and the log hold it:
//!
//! ```text
//! content-type: application/cloudevents+json
//! webhook-id: 5f3a09c2…-3              item and revision: take each once
//! webhook-timestamp: 1764032400        seconds since 1970, of this attempt
//! webhook-signature: v1,K5oZf…         one for each secret, with spaces between
//! traceparent: 00-…                    of the event that opened the moment, where it had one
//!
//! {"data":{"id":"5f3a09c2…","rev":3,"state":"closed",…},"id":"5f3a09c2…-3","source":"clipcore",
//!  "specversion":"1.0","subject":"show","type":"clipcore.moment"}
//! ```
//!
//! The receiver verifies the signature over the bytes as they came ([Standard Webhooks
//! 1.0](https://www.standardwebhooks.com); [`webhook::verify_hook`](crate::webhook::verify_hook) in Rust), answers at once, and works
//! afterwards. Its answer decides:
//!
//! | answer | what it means here |
//! |---|---|
//! | 2xx | delivered; 208 says that it was known already |
//! | 410 | nobody wants these any more: nothing further is sent by this process |
//! | 408, 425, 429, 5xx, none in time | tried again by a [`RetryLayer`](super::layer::RetryLayer), not before `Retry-After` |
//! | anything else, redirects included | refused for good: for a [`DeadLetterLayer`](super::layer::DeadLetterLayer) |
//!
//! A message may come twice, where an answer was lost; that is what `webhook-id` is for.

mod answer;
mod config;
mod guard;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
pub use config::{HookUrl, WebhookSinkConfig};
pub use guard::is_public;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, redirect};

use self::guard::PublicOnly;
use super::{ClipSink, Delivery};
use crate::clock::{SystemTimeSource, TimeSource};
use crate::log::{Receipt, Record};
use crate::webhook::HookSecret;
use crate::{Error, ErrorKind, Result};

/// How many deliveries are remembered, so that one that is repeated by this process goes out once.
const REMEMBERED: usize = 4096;

/// Posts every transition of moments and clips to a webhook; see the [module](self).
///
/// What was delivered lately is not sent again by this process; across restarts it is the receiver who knows, by
/// `webhook-id`, and may say so with 208. Redirects are not followed. Unless
/// [`allow_private`](WebhookSinkConfig::allow_private) says so, addresses of private networks are not connected to,
/// whatever name led there, and no proxy is used.
///
/// # Errors
/// `Unavailable` or `Timeout` (retryable); `Config` where the address is private, or the receiver refuses the signature or
/// redirects; `NotFound` after 410; `InvalidInput` for other refusals.
#[derive(Debug)]
pub struct WebhookSink {
    name: Arc<str>,
    config: WebhookSinkConfig,
    secrets: Vec<HookSecret>,
    client: Client,
    gone: AtomicBool,
    recent: Mutex<Recent>,
}

/// What was delivered last.
#[derive(Debug, Default)]
struct Recent {
    known: HashSet<(Arc<str>, u32)>,
    order: VecDeque<(Arc<str>, u32)>,
}

impl WebhookSink {
    /// A sink named `webhook`. It connects with the first call; [`check`](ClipSink::check) says whether it can.
    ///
    /// # Errors
    /// `Config`.
    pub fn new(config: WebhookSinkConfig) -> Result<Self> {
        if !config.allow_private && config.url.is_private() {
            return Err(answer::private(&config.url));
        }
        let secrets = config.all_secrets()?;
        let mut client = Client::builder()
            .timeout(config.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .tls_certs_merge(config.authorities()?)
            .user_agent(concat!("clipcore/", env!("CARGO_PKG_VERSION")));
        if !config.allow_private {
            client = client.dns_resolver(Arc::new(PublicOnly));
        }
        let client = client.build().map_err(|e| {
            Error::config("this machine cannot make HTTPS connections").with_source(e.without_url())
        })?;
        let (gone, recent) = (AtomicBool::new(false), Mutex::default());
        Ok(Self { name: "webhook".into(), config, secrets, client, gone, recent })
    }

    /// Gives it another name, so that a pipeline can have several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    fn request(&self, method: Method) -> RequestBuilder {
        self.client.request(method, self.config.url.url().clone())
    }

    fn message(&self, item: &Delivery) -> Result<RequestBuilder> {
        // What goes into a header and is signed with dots between.
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if item.item().is_empty() || item.item().len() > 200 || !item.item().bytes().all(word) {
            let shown = crate::ids::shorten(item.item());
            return Err(Error::invalid(format!("{shown:?} cannot be the id of a webhook's message")));
        }
        let id = format!("{}-{}", item.item(), item.rev());
        let (record, trace) = match item {
            Delivery::Moment(moment) => (Record::Moment(moment.clone()), &moment.trace),
            Delivery::Clip { clip, .. } => (Record::Clip(clip.clone()), &clip.trace),
        };
        let body = record.to_json()?;
        let now = SystemTimeSource::new().wall().as_unix_micros().div_euclid(1_000_000).to_string();
        let signatures: Vec<_> = self.secrets.iter().map(|s| s.sign(&id, &now, body.as_bytes())).collect();
        let mut request = self
            .request(Method::POST)
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signatures.join(" "));
        if let Some(trace) = trace.as_ref().and_then(|t| HeaderValue::from_str(t).ok()) {
            request = request.header("traceparent", trace);
        }
        Ok(request.body(body))
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn post(&self, item: &Delivery) -> Result<Receipt> {
        let mut receipt = item.receipt(&self.name);
        receipt.location = Some(self.config.url.to_string());
        let key = (item.item().clone(), item.rev());
        if self.recent().known.contains(&key) {
            return Ok(Receipt { duplicate: true, ..receipt });
        }
        if self.gone.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::NotFound,
                "the webhook is switched off: it answered 410 before",
            ));
        }
        let answer =
            self.message(item)?.send().await.map_err(|e| answer::unreachable(e, &self.config.url))?;
        let status = answer.status();
        if status.is_success() {
            receipt.duplicate = status.as_u16() == 208;
            let mut recent = self.recent();
            if recent.known.insert(key.clone()) {
                recent.order.push_back(key);
            }
            if recent.order.len() > REMEMBERED
                && let Some(oldest) = recent.order.pop_front()
            {
                recent.known.remove(&oldest);
            }
            return Ok(receipt);
        }
        if status.as_u16() == 410 {
            self.gone.store(true, Ordering::Relaxed);
        }
        let now = SystemTimeSource::new().wall();
        Err(answer::refused(status, answer.headers(), now))
    }
}

#[async_trait]
impl ClipSink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, item: &Delivery) -> bool {
        match item {
            Delivery::Moment(_) => self.config.moments,
            Delivery::Clip { .. } => self.config.clips,
        }
    }

    /// Any answer to a `HEAD` will do, so that nobody is sent something made up.
    async fn check(&self) -> Result<()> {
        let answer = self.request(Method::HEAD).send().await;
        answer
            .map(drop)
            .map_err(|e| answer::unreachable(e, &self.config.url).with_operation("webhook::check"))
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        if !self.wants(item) {
            return Ok(item.receipt(&self.name));
        }
        let posted = self.post(item).await;
        posted.map_err(|e| {
            e.with_context("server", &self.config.url)
                .with_context("item", item.item())
                .with_operation("webhook::deliver")
        })
    }
}
