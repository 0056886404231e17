"""The cluster's log: Apache Kafka through aiokafka. No other room knows it."""
