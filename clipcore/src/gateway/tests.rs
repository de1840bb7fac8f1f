//! What holds the description of the interface and the routes together.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::routes;
use super::service::OPENAPI;
use super::*;
use crate::catalog::Catalog;
use crate::clock::SystemTimeSource;
use crate::event::Kinds;
use crate::host::{Host, HostParts};
use crate::log::MemoryLog;
use crate::{Error, ErrorKind};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

async fn gateway(dir: &std::path::Path) -> Gateway {
    let log = Arc::new(MemoryLog::new(1));
    let factory = |_: &crate::StreamId, _: &crate::host::StreamSettings| {
        Err(Error::new(ErrorKind::Unsupported, "no streams are made here"))
    };
    let parts = HostParts::new(log.clone(), log, Arc::new(factory));
    Gateway::new(GatewayParts {
        host: Host::open(dir.join("streams"), parts).await.unwrap(),
        catalog: Catalog::open(dir).await.unwrap(),
        tokens: Tokens::default(),
        kinds: Kinds::builtin(),
        config: GatewayConfig::default(),
        time: Arc::new(SystemTimeSource::new()),
    })
    .unwrap()
}

fn described() -> Vec<(String, String)> {
    let all: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = all["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, operations)| {
        operations.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
    });
    operations.collect()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let dir = tempfile::tempdir().unwrap();
    let router = gateway(dir.path()).await.router();
    let described = described();
    let mut paths: Vec<String> = described.iter().map(|(path, _)| path.clone()).collect();
    paths.extend(routes::paths().into_iter().map(str::to_owned));
    paths.sort();
    paths.dedup();
    for path in paths {
        for method in METHODS {
            let request = Request::builder()
                .method(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap())
                .uri(
                    ["{id}", "{platform}", "{user}"]
                        .iter()
                        .fold(path.clone(), |path, name| path.replace(name, "some-id")),
                )
                .header("host", "localhost")
                .body(Body::empty())
                .unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            let is_route = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
            let is_described = described.contains(&(path.clone(), method.to_owned()));
            assert_eq!(is_route, is_described, "{method} {path} answers {}", answer.status());
        }
    }
}

#[test]
fn references_and_ids_of_the_description_hold() {
    let all: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    let mut open = vec![&all];
    while let Some(value) = open.pop() {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            assert!(all.pointer(&target[1..]).is_some(), "{target} is not there");
        }
        if let Some(id) = value.get("operationId").and_then(Value::as_str) {
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
        }
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert_eq!(ids.len(), described().len());
}
