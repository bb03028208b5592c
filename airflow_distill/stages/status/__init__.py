"""Status: where a workload stands, in one small record that the loop writes and the page in Airflow reads."""
