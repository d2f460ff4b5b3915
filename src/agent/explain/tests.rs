//! What is told of a broker, by what it sent.

use super::*;

fn known<'a>(first: &'a [u8], last: &'a [u8]) -> ConnectionContext<'a> {
    ConnectionContext { tls: false, id: "box-1", certificate_names: &[], first, last, was_online: false, secrets: &[] }
}

fn aborted() -> ConnectionError {
    ConnectionError::MqttState(StateError::ConnectionAborted)
}

#[test]
fn what_is_no_mqtt_5_broker_is_said_to_be_none() {
    for (first, said) in [
        (&b"\x20\x02\x00\x01"[..], "does not speak MQTT 5"),
        (b"HTTP/1.1 400 Bad Request\r\n", "web server"),
        (b"<html>", "web server"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "mqtts://"),
        (b"SSH-2.0-OpenSSH_9.2", "no MQTT broker"),
        (b"", "without an answer"),
    ] {
        let loss = explain(&aborted(), &known(first, first));
        assert!(loss.reason.contains(said), "{first:?}: {loss:?}");
    }
}

#[test]
fn the_new_place_of_a_broker_is_told_wherever_it_stands() {
    // CONNACK with reason 0x9D and server reference "there:1".
    let first = b"\x20\x0d\x00\x9d\x0a\x1c\x00\x07there:1";
    let error = ConnectionError::ConnectionRefused(ConnectReturnCode::ServerMoved);
    let loss = explain(&error, &known(first, first));
    assert!(loss.reason.contains("has moved to \"there:1\""), "{loss:?}");
    // DISCONNECT with the same behind a PUBACK.
    let last = b"\x40\x02\x00\x01\xe0\x0c\x9c\x0a\x1c\x00\x07there:1";
    let error = ConnectionError::MqttState(StateError::ServerDisconnect {
        reason_code: DisconnectReasonCode::UseAnotherServer,
        reason_string: None,
    });
    let online = ConnectionContext { was_online: true, ..known(b"\x20\x03\x00\x00\x00", last) };
    let loss = explain(&error, &online);
    assert!(loss.reason.contains("for now to \"there:1\""), "{loss:?}");
}

#[test]
fn a_reason_counts_where_the_client_library_does_not_understand_it() {
    let online =
        ConnectionContext { was_online: true, ..known(b"\x20\x03\x00\x00\x00", b"\x40\x02\x00\x01\xe0\x01\x8e") };
    let loss = explain(&aborted(), &online);
    assert!(loss.patient && loss.reason.contains("another client uses the id \"box-1\""), "{loss:?}");
}

/// Each error as the client library, rustls or the kernel words it.
#[test]
fn each_error_below_mqtt_says_what_to_do() {
    let unheard = known(b"", b"");
    let heard = known(b"\x20\x03\x00\x00\x00", b"");
    let online = ConnectionContext { was_online: true, ..known(b"\x20\x03\x00\x00\x00", b"") };
    let tls = ConnectionContext { tls: true, ..known(b"", b"") };
    for (error, context, said) in [
        ("I/O: x.example cannot be resolved: Name or service not known", &unheard, "the network's DNS"),
        ("I/O: 127.0.0.1:1: connection refused", &unheard, "no broker listens"),
        ("I/O: 203.0.113.1:1883: network is unreachable", &unheard, "no way to its address"),
        ("in the TLS handshake: received corrupt message of type InvalidContentType", &tls, "mqtt:// in [mqtt] url"),
        ("in the TLS handshake: received fatal alert: ProtocolVersion", &tls, "during the TLS handshake"),
        ("in the TLS handshake: invalid peer certificate: UnknownIssuer", &tls, "set ca-file"),
        ("Connection timeout", &unheard, "it does not answer"),
        ("I/O: no answer in time", &unheard, "it does not answer"),
        ("I/O: Connection timed out (os error 110)", &online, "the connection was cut"),
        ("Last pingreq isn't acked", &online, "the connection was cut"),
        ("connection closed by peer", &unheard, "or want TLS (mqtts://)"),
        ("connection closed by peer", &tls, "or be no broker"),
        ("connection closed by peer", &online, CUT_WITHOUT_REASON),
        ("connection closed by peer", &heard, "cannot be talked to: connection closed"),
    ] {
        let found = broken(error, context);
        assert!(found.contains(said), "{error}: {found}");
    }
    assert!(broken(super::super::dial::IN_HANDSHAKE, &tls).contains("during the TLS handshake"));
}

#[test]
fn a_certificate_for_another_name_is_told_where_the_box_is_refused() {
    let names = ["shop-7".to_owned()];
    let error = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
    let with = |id| ConnectionContext { id, certificate_names: &names, ..known(b"", b"") };
    let loss = explain(&error, &with("box-1"));
    assert!(loss.reason.contains("is for \"shop-7\" and this box's id is \"box-1\""), "{loss:?}");
    assert!(!explain(&error, &with("shop-7")).reason.contains("is for"));
}

#[test]
fn what_a_broker_says_itself_is_no_part_of_the_reason() {
    // CONNACK, 0x97, reason string "try 123" and a line feed.
    let first = b"\x20\x0e\x00\x97\x0b\x1f\x00\x08try 123\n";
    let error = ConnectionError::ConnectionRefused(ConnectReturnCode::QuotaExceeded);
    let loss = explain(&error, &known(first, first));
    assert!(!loss.reason.contains("123"), "{loss:?}");
    assert_eq!(loss.said.as_deref(), Some("try 123"));
}

#[test]
fn a_broker_that_repeats_the_password_does_not_get_it_into_a_log() {
    let secrets = [crate::config::Secret::new("the-password".to_owned())];
    // CONNACK with reason 0x9D, and a server reference and a reason string with the password.
    let first = b"\x20\x2c\x00\x9d\x29\x1c\x00\x0ethe-password:1\x1f\x00\x15xthe-password is bad ";
    let error = ConnectionError::ConnectionRefused(ConnectReturnCode::ServerMoved);
    let loss = explain(&error, &ConnectionContext { secrets: &secrets, ..known(first, first) });
    assert!(loss.reason.contains("\"\u{2026}:1\""), "{loss:?}");
    assert_eq!(loss.said.as_deref(), Some("x\u{2026} is bad "));
}
