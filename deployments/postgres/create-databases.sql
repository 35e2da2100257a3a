-- Run by the postgres image when its volume is empty; `perennial` is made from POSTGRES_DB.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
