use crate::scalar::convert::tests::check;

#[test]
fn parts() {
    check(&[
        ("to_year", &["date:2023-05-17"], "uint16:2023"),
        ("year", &["datetime64(3):1969-12-31 23:59:59.5"], "uint16:1969"),
        ("to_quarter", &["date:2023-05-17"], "uint8:2"),
        ("to_day_of_week", &["date:2023-05-21"], "uint8:7"),
        ("to_day_of_week", &["date:2023-05-21", "uint8:2"], "uint8:0"),
        ("to_hour", &["datetime('Asia/Shanghai'):2023-05-17 20:47:33"], "uint8:20"),
        ("to_hour", &["datetime:2023-05-17 20:47:33", "string:Asia/Shanghai"], "uint8:4"),
        ("to_hour", &["date:2023-05-17"], "43"),
        ("to_YYYYMM", &["date:2023-05-17"], "uint32:202305"),
        ("to_YYYYMMDDhhmmss", &["datetime:2023-05-17 20:47:33"], "uint64:20230517204733"),
        ("to_iso_year", &["date:2021-01-03"], "uint16:2020"),
        ("to_iso_week", &["date:2021-01-03"], "uint8:53"),
        ("to_week", &["date:2016-12-27"], "uint8:52"),
        ("to_week", &["date:2016-12-27", "uint8:1"], "uint8:52"),
        ("to_week", &["date:2016-12-27", "uint8:9"], "uint8:1"),
        ("to_year_week", &["date:2016-12-27"], "uint32:201652"),
        ("to_relative_day_num", &["date:1970-01-05"], "uint32:4"),
        ("timezone_offset", &["datetime('Asia/Shanghai'):2023-05-17 20:47:33"], "int32:28800"),
        (
            "to_timezone",
            &["datetime:2023-05-17 20:47:33", "string:Asia/Shanghai"],
            "datetime('Asia/Shanghai'):2023-05-18 04:47:33+08:00",
        ),
        ("date_name", &["string:weekday", "date:2021-04-14"], "string:Wednesday"),
        ("date_name", &["string:dayofyear", "date:2021-04-14"], "string:104"),
        ("month_name", &["date:2021-04-14"], "string:April"),
        ("to_year", &["string:2021"], "43"),
    ]);
}

#[test]
fn starts() {
    check(&[
        ("to_start_of_month", &["datetime('UTC'):2017-12-31 00:00:00", "string:UTC"], "date:2017-12-01"),
        ("to_start_of_day", &["datetime('UTC'):2017-12-31 03:45:00", "string:"], "43"),
        (
            "to_start_of_ten_minutes",
            &["datetime('UTC'):2017-12-31 05:12:30", "string:UTC"],
            "datetime('UTC'):2017-12-31 05:10:00Z",
        ),
        ("to_monday", &["date:2023-05-17"], "date:2023-05-15"),
        ("to_start_of_week", &["date:2023-05-17"], "date:2023-05-14"),
        ("to_start_of_week", &["date:2023-05-17", "uint8:1"], "date:2023-05-15"),
        ("to_start_of_iso_year", &["date:2021-01-03"], "date:2019-12-30"),
        ("last_day", &["date:2024-02-03"], "date:2024-02-29"),
        (
            "to_start_of_second",
            &["datetime64(3, 'UTC'):2017-12-31 03:45:00.7"],
            "datetime64(3, 'UTC'):2017-12-31 03:45:00.000Z",
        ),
        (
            "to_start_of_interval",
            &["datetime('UTC'):2017-12-31 03:47:00", "interval_minute:15"],
            "datetime('UTC'):2017-12-31 03:45:00Z",
        ),
        ("to_start_of_interval", &["datetime('UTC'):2017-12-31 03:47:00", "interval_month:3"], "date:2017-10-01"),
        ("date_trunc", &["string:hour", "datetime:2017-12-31 03:47:00"], "datetime:2017-12-31 03:00:00"),
        ("date_trunc", &["string:month", "datetime:2017-12-31 03:47:00"], "date:2017-12-01"),
    ]);
}

#[test]
fn spans() {
    check(&[
        ("date_diff", &["string:year", "date32:1969-12-25", "date32:1970-01-05"], "int64:1"),
        ("date_diff", &["string:week", "date32:1969-12-25", "date32:1970-01-05"], "int64:1"),
        ("date_diff", &["string:day", "date32:1969-12-25", "datetime64(3):1970-01-05 10:00:00"], "int64:11"),
        ("date_diff", &["string:minute", "date32:1969-12-31", "date32:1970-01-01"], "int64:1440"),
        ("time_diff", &["date:2015-08-18", "datetime:2015-08-19 00:00:00"], "int64:86400"),
        ("age", &["string:month", "date:2023-01-31", "date:2023-02-28"], "int64:0"),
        (
            "age",
            &["string:second", "datetime64(6):2023-03-01 19:18:36.999003", "datetime64(6):2023-03-01 19:18:41.999002"],
            "int64:4",
        ),
        (
            "age",
            &[
                "string:millisecond",
                "datetime64(6):2015-08-18 20:30:36.450299",
                "datetime64(6):2015-08-18 20:30:41.550298",
            ],
            "int64:5099",
        ),
        ("add_months", &["date:2023-01-31", "int8:1"], "date:2023-02-28"),
        ("subtract_days", &["datetime('UTC'):2023-01-01 00:00:00", "uint8:1"], "datetime('UTC'):2022-12-31 00:00:00Z"),
        (
            "add_minutes",
            &["datetime('GMT'):2020-01-01 00:00:00", "int64:9223372036854775807"],
            "datetime('GMT'):2019-12-31 23:59:00Z",
        ),
        (
            "add_years",
            &["datetime('GMT'):2020-01-01 00:00:00", "int64:9223372036854775807"],
            "datetime('GMT'):2019-01-01 00:00:00Z",
        ),
        ("add_hours", &["datetime('GMT'):2020-01-01 00:00:00", "uint64:9223372036854775808"], "407"),
        ("add_hours", &["datetime('GMT'):2020-01-01 00:00:00", "float64:inf"], "407"),
        (
            "add_hours",
            &["datetime64(0, 'Asia/Novosibirsk'):1984-03-31 23:00:00", "uint8:8"],
            "datetime64(0, 'Asia/Novosibirsk'):1984-04-01 08:00:00+08:00",
        ),
        ("date_add", &["string:month", "int8:1", "date:2023-01-31"], "date:2023-02-28"),
        ("date_sub", &["date:2023-01-31", "interval_day:1"], "date:2023-01-30"),
    ]);
}

#[test]
fn the_clock_of_the_query() {
    check(&[
        ("now", &[], "datetime:2023-11-14 22:13:20"),
        ("NOW", &["string:Asia/Shanghai"], "datetime('Asia/Shanghai'):2023-11-15 06:13:20+08:00"),
        ("now64", &[], "datetime64(3):2023-11-14 22:13:20.123"),
        ("now64", &["uint8:9"], "datetime64(9):2023-11-14 22:13:20.123456000"),
        ("today", &[], "date:2023-11-14"),
        ("yesterday", &[], "date:2023-11-13"),
        ("utc_timestamp", &[], "datetime('UTC'):2023-11-14 22:13:20Z"),
        ("earliest_ts", &[], "datetime:1970-01-01 00:00:00"),
    ]);
}

#[test]
fn numbers_of_seconds() {
    check(&[
        (
            "to_unix_timestamp",
            &["nullable(string):2000-01-01 13:12:12", "string:Asia/Istanbul"],
            "nullable(uint32):946725132",
        ),
        ("to_unix_timestamp", &["nullable(string):", "string:Asia/Istanbul"], "nullable(uint32):\\N"),
        ("to_unix_timestamp", &["datetime:2000-01-01 00:00:00"], "uint32:946684800"),
        ("to_unix_timestamp64_micro", &["datetime64(3):1970-01-01 00:00:01.5"], "int64:1500000"),
        ("to_unix_timestamp64_milli", &["string:abc"], "43"),
        ("to_unix_timestamp64_milli", &[], "42"),
        ("from_unix_timestamp64_milli", &["int64:-1", "string:UTC"], "datetime64(3, 'UTC'):1969-12-31 23:59:59.999Z"),
        ("from_unixtime", &["uint32:1"], "datetime:1970-01-01 00:00:01"),
        ("from_unixtime", &["uint32:1", "string:%Y %T"], "string:1970 00:00:01"),
        ("to_modified_julian_day", &["string:2020-11-01"], "int32:59154"),
        ("from_modified_julian_day", &["int32:59154"], "string:2020-11-01"),
    ]);
}

#[test]
fn made_of_parts() {
    let at = |h: &'static str| ["int32:1984", "int32:1", "int32:1", h, "int32:0", "int32:0", "string:UTC"];
    check(&[
        ("make_datetime", &at("int32:25"), "datetime('UTC'):1984-01-02 01:00:00Z"),
        ("make_datetime", &at("int32:-1"), "datetime('UTC'):1970-01-01 00:00:00Z"),
        ("make_datetime", &at("int32:65537"), "datetime('UTC'):1970-01-01 00:00:00Z"),
        ("make_date", &["int32:2023", "int32:2", "int32:28"], "date:2023-02-28"),
        ("make_date32", &["int32:1984", "int32:2", "int32:30"], "date32:1984-03-01"),
        ("make_date32", &["int32:1980", "int32:1"], "42"),
        ("make_date32", &["date:1980-01-01", "int32:1", "int32:1"], "43"),
        ("time_slot", &["datetime('UTC'):2000-01-02 03:04:05"], "datetime('UTC'):2000-01-02 03:00:00Z"),
        (
            "time_slots",
            &["datetime('UTC'):2000-01-02 03:04:05", "uint32:600", "uint16:300"],
            "array(datetime('UTC')):['2000-01-02 03:00:00Z','2000-01-02 03:05:00Z','2000-01-02 03:10:00Z']",
        ),
        ("time_slots", &["datetime('UTC'):2000-01-02 03:04:05", "uint32:600", "uint16:0"], "44"),
        (
            "time_slots",
            &["datetime64(2, 'UTC'):2000-01-02 03:04:05.12", "decimal(18, 0):100", "decimal(18, 0):60"],
            "array(datetime64(2, 'UTC')):['2000-01-02 03:04:00.00Z','2000-01-02 03:05:00.00Z']",
        ),
    ]);
}

#[test]
fn patterns() {
    check(&[
        (
            "format_datetime",
            &["datetime64(3, 'UTC'):1962-12-08 18:11:29.123", "string:%F %T.%f"],
            "string:1962-12-08 18:11:29.123",
        ),
        (
            "format_datetime",
            &["date:2010-01-03", "string:%G %g %V %u %j %e %y %C %%"],
            "string:2009 09 53 7 003  3 10 20 %",
        ),
        ("format_datetime", &["datetime:2018-01-02 22:33:44", "string:%I:%i %p"], "string:10:33 PM"),
        ("format_datetime", &["datetime:2018-01-02 22:33:44", "string:%E"], "36"),
        ("DATE_FORMAT", &["datetime:2018-01-02 22:33:44", "string:%D"], "string:01/02/18"),
        (
            "format_datetime_in_joda_syntax",
            &["datetime:2018-01-12 22:33:44", "string:yyyy-MM-dd 'at' HH:mm:ss a EEEE MMM"],
            "string:2018-01-12 at 22:33:44 PM Friday Jan",
        ),
        (
            "parse_datetime",
            &["string:2021-01-04+23:00:00", "string:%Y-%m-%d+%H:%i:%s", "string:UTC"],
            "datetime('UTC'):2021-01-04 23:00:00Z",
        ),
        ("parse_datetime", &["string:nope", "string:%Y"], "41"),
        ("parse_datetime_or_null", &["string:nope", "string:%Y"], "nullable(datetime):\\N"),
        (
            "parse_datetime_in_joda_syntax",
            &["string:2023-02-24 14:53:31", "string:yyyy-MM-dd HH:mm:ss", "string:UTC"],
            "datetime('UTC'):2023-02-24 14:53:31Z",
        ),
    ]);
}

#[test]
fn every_letter_of_joda() {
    for (pattern, expected) in [
        ("GGG", "AD"),
        ("GGGG", "Anno Domini"),
        ("CCC", "020"),
        ("YY", "18"),
        ("YYYYY", "02018"),
        ("ee", "05"),
        ("EEE", "Fri"),
        ("EEEE", "Friday"),
        ("DDD", "012"),
        ("M", "1"),
        ("MM", "01"),
        ("MMMM", "January"),
        ("a", "PM"),
        ("KKK", "010"),
        ("h", "10"),
        ("kk", "22"),
        ("zzzz", "UTC"),
        ("G123DDD", "AD123012"),
        ("G''DDD", "AD'012"),
        ("G'a''aa'DDD", "ADa'aa012"),
        ("w", "2"),
        ("S", "5"),
        ("SSSS", "5500"),
        ("SSSSSSSSSS", "550000000"),
    ] {
        let args = ["datetime64(6):2018-01-12 22:33:44.55", &format!("string:{pattern}")];
        check(&[("format_datetime_in_joda_syntax", &args, &format!("string:{}", expected.replace('\'', "\\'")))]);
    }
}
