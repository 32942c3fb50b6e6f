"""A simulated broker and replicas that take turns on it: the real loop, and no time but the test's.

`broker` and `group` keep the rules of Kafka, `clients` are what stands in for the Kafka client in
the real `TransactionalWriter`, `StateReader`, `Membership` and `Reader`, `replica` is a process
that stops between any two calls, `world` puts them together, `checker` recounts the log, `machine`
lets anything happen, and `breakages` are bugs that the checker has to find.
"""
