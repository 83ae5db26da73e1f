"""The clients of Redis, Kafka and MySQL: each store behind one small class.

``actors`` uses the Redis part as well; nothing in here imports Ray.
"""
