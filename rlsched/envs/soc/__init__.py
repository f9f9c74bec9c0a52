"""SoC DAG scheduling (DS3, DeepSoCS, SoCRATES): which ready task runs next, and on which PE."""
