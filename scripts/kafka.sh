#!/usr/bin/env bash
# Fetches a Kafka broker for tests into target/kafka, with Maven, from its public artefacts. Needs Java 17 and a network, once.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-3.9.1}
dir=target/kafka
[ "$(cat "$dir/version" 2>/dev/null)" = "$version" ] && exit 0
for program in java mvn; do
    command -v "$program" >/dev/null || { echo "$program is not installed"; exit 1; }
done
rm -rf "$dir"
mkdir -p "$dir"
cat >"$dir/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>clipcore</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
mvn -q -B -f "$dir/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$PWD/$dir/lib"
echo "$version" >"$dir/version"
