drop table subject_keys;
