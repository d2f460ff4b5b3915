//! One node of an RMQTT cluster: `cluster-broker --config FILE --id N --node-grpc-addrs … --raft-peer-addrs …`, with
//! the options and files of RMQTT's own program. It runs until SIGTERM.

use clap::Parser;
use rmqtt::args::CommandArgs;
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::node::Node;
use rmqtt::server::MqttServer;
use rmqtt_conf::{Options, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let level = log::LevelFilter::Info;
    simplelog::WriteLogger::init(level, simplelog::Config::default(), std::io::stderr())?;
    let settings = Settings::init(Options::parse())?;
    let options = &settings.opts;
    let busy = &settings.node.busy;
    let node = Node::new(settings.node.id, busy.loadavg, busy.cpuloadavg, busy.update_interval);
    let context = ServerContext::new()
        .args(CommandArgs {
            node_id: options.node_id,
            plugins_default_startups: options.plugins_default_startups.clone(),
            node_grpc_addrs: options.node_grpc_addrs.clone(),
            raft_peer_addrs: options.raft_peer_addrs.clone(),
            raft_leader_id: options.raft_leader_id,
        })
        .node(node)
        .task_exec_workers(settings.task.exec_workers)
        .task_exec_queue_max(settings.task.exec_queue_max)
        .busy_check_enable(busy.check_enable)
        .busy_handshaking_limit(busy.handshaking)
        .mqtt_max_sessions(settings.mqtt.max_sessions)
        .plugins_config_dir(settings.plugins.dir.as_str())
        .build()
        .await;
    context.node.start_grpc_server(
        context.clone(),
        settings.rpc.server_addr,
        settings.rpc.reuseaddr,
        settings.rpc.reuseport,
    );
    rmqtt_retainer::register(&context, true, false).await?;
    // Alone it is a broker like any other: benches/control measures it so.
    if options.raft_peer_addrs.is_some() {
        rmqtt_cluster_raft::register(&context, true, true).await?;
    }
    let mut server = MqttServer::new(context);
    for listener in settings.listeners.tcps.values() {
        let builder = Builder::new()
            .name(listener.name.as_str())
            .laddr(listener.addr)
            .max_connections(listener.max_connections)
            .max_handshaking_limit(listener.max_handshaking_limit)
            .max_packet_size(listener.max_packet_size.as_u32())
            .backlog(listener.backlog)
            .nodelay(listener.nodelay)
            .reuseaddr(listener.reuseaddr)
            .allow_anonymous(listener.allow_anonymous)
            .min_keepalive(listener.min_keepalive)
            .max_keepalive(listener.max_keepalive)
            .keepalive_backoff(listener.keepalive_backoff)
            .max_inflight(listener.max_inflight)
            .handshake_timeout(listener.handshake_timeout)
            .max_mqueue_len(listener.max_mqueue_len)
            .mqueue_rate_limit(listener.mqueue_rate_limit.0, listener.mqueue_rate_limit.1)
            .max_clientid_len(listener.max_clientid_len)
            .max_qos_allowed(listener.max_qos_allowed)
            .max_topic_levels(listener.max_topic_levels)
            .session_expiry_interval(listener.session_expiry_interval)
            .max_session_expiry_interval(listener.max_session_expiry_interval)
            .message_retry_interval(listener.message_retry_interval)
            .message_expiry_interval(listener.message_expiry_interval)
            .max_subscriptions(listener.max_subscriptions);
        server = server.listener(builder.bind()?.tcp()?);
    }
    server.build().start();
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    end.recv().await;
    Ok(())
}
