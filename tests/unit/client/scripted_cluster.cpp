#include "tests/unit/client/scripted_cluster.h"

namespace loyal::client::test {

namespace {

crypto::Identity identity_of(std::uint8_t number) {
    crypto::initialize();
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return crypto::Identity::from_seed(seed);
}

SessionOptions options_of() {
    SessionOptions options;
    options.key.bytes.fill(0xC1);
    options.session = consensus::SessionId(4711);
    return options;
}

}  // namespace

consensus::Membership membership_of(std::size_t n, FaultModel model) {
    consensus::Membership membership;
    membership.context = {crypto::digest_of("cluster", view_of("client tests")), consensus::Epoch(0)};
    membership.fault_model = model;
    for (std::size_t i = 0; i < n; ++i) {
        membership.replicas.push_back(identity_of(static_cast<std::uint8_t>(i + 1)).public_key());
    }
    return membership;
}

kvstore::Put put(std::string_view key, std::string_view value) {
    return {bytes_of(key), bytes_of(value)};
}

kvstore::Range key_range(std::string_view key) {
    kvstore::Range range;
    range.begin = bytes_of(key);
    return range;
}

ScriptedCluster::ScriptedCluster(std::size_t n, FaultModel model)
    : membership(membership_of(n, model)),
      identity(identity_of(99)),
      session(membership, model == FaultModel::crash ? nullptr : &identity, options_of()) {}

std::size_t ScriptedCluster::write(kvstore::Operation operation) {
    const std::size_t index = writes.size();
    writes.emplace_back();
    session.write(std::move(operation), now_ms, [this, index](const WriteResult& result) {
        if (writes[index]) {
            throw std::logic_error("a write completed twice");
        }
        writes[index] = result;
    });
    return index;
}

std::size_t ScriptedCluster::read(kvstore::Query query, std::optional<ReplicaId> stale_from) {
    const std::size_t index = reads.size();
    reads.emplace_back();
    session.read(
        std::move(query), now_ms,
        [this, index](const ReadResult& result) {
            if (reads[index]) {
                throw std::logic_error("a read completed twice");
            }
            reads[index] = result;
        },
        stale_from);
    return index;
}

void ScriptedCluster::connect(std::size_t replica, std::uint64_t view, std::uint64_t wall_ms) {
    const ReplicaId id(static_cast<std::uint16_t>(replica));
    session.connected(id, now_ms);
    deliver(replica, wire::Welcome{id, View(view), consensus::leader_of(View(view), membership.replicas.size()),
                                   Hlc(wall_ms, 0)});
}

void ScriptedCluster::connect_all(std::uint64_t view) {
    for (std::size_t i = 0; i < membership.replicas.size(); ++i) {
        connect(i, view);
    }
}

void ScriptedCluster::disconnect(std::size_t replica) {
    session.disconnected(ReplicaId(static_cast<std::uint16_t>(replica)), now_ms);
}

void ScriptedCluster::advance(std::uint64_t ms) {
    for (std::uint64_t passed = 0; passed < ms; passed += 10) {
        now_ms += 10;
        session.tick(now_ms);
    }
}

std::vector<ScriptedCluster::Sent> ScriptedCluster::take() {
    std::vector<Sent> sent;
    for (Outgoing& each : session.take_outgoing()) {
        sent.push_back({each.to.value, std::move(each.message)});
    }
    return sent;
}

std::vector<std::pair<std::size_t, consensus::Envelope>> ScriptedCluster::take_envelopes() {
    std::vector<std::pair<std::size_t, consensus::Envelope>> envelopes;
    for (Sent& each : take()) {
        if (auto* submit = std::get_if<wire::Submit>(&each.message)) {
            envelopes.emplace_back(each.to, std::move(submit->envelope));
        }
    }
    return envelopes;
}

std::vector<std::pair<std::size_t, wire::Read>> ScriptedCluster::take_reads() {
    std::vector<std::pair<std::size_t, wire::Read>> asked;
    for (Sent& each : take()) {
        if (auto* read = std::get_if<wire::Read>(&each.message)) {
            asked.emplace_back(each.to, std::move(*read));
        }
    }
    return asked;
}

kvstore::Outcome ScriptedCluster::outcome(Seq seq, kvstore::Status status, std::uint64_t height,
                                          std::uint64_t wall_ms) {
    return {seq, Height(height), View(0), Hlc(wall_ms, 0), kvstore::Revision(height * 10), status, {}};
}

void ScriptedCluster::deliver(std::size_t from, const wire::ReplicaMessage& message) {
    session.receive(ReplicaId(static_cast<std::uint16_t>(from)), message, now_ms);
}

void ScriptedCluster::reply(std::size_t from, const consensus::Envelope& envelope, const kvstore::Outcome& outcome,
                            bool full, std::uint64_t view) {
    wire::OutcomeReply one{outcome.seq, {}, kvstore::outcome_digest(outcome)};
    if (full) {
        one.outcome = outcome;
    }
    deliver(
        from,
        wire::Reply{
            ReplicaId(static_cast<std::uint16_t>(from)), envelope.session, View(view), Hlc(cluster_wall_ms, 0), {one}});
}

void ScriptedCluster::reply_all_operations(std::size_t from, const consensus::Envelope& envelope,
                                           kvstore::Status status, std::uint64_t height, std::uint64_t wall_ms) {
    wire::Reply reply{
        ReplicaId(static_cast<std::uint16_t>(from)), envelope.session, View(0), Hlc(cluster_wall_ms, 0), {}};
    for (std::uint16_t i = 0; i < envelope.count; ++i) {
        const kvstore::Outcome each = outcome(envelope.seq0.plus(i), status, height, wall_ms);
        reply.outcomes.push_back({each.seq, each, kvstore::outcome_digest(each)});
    }
    deliver(from, reply);
}

void ScriptedCluster::refuse(std::size_t from, const consensus::Envelope& envelope, wire::RefusalCode code) {
    deliver(from, wire::Refusal{ReplicaId(static_cast<std::uint16_t>(from)), code, false, envelope.session,
                                envelope.seq0.value, "because"});
}

void ScriptedCluster::refuse_read(std::size_t from, const wire::Read& read, wire::RefusalCode code) {
    deliver(from, wire::Refusal{ReplicaId(static_cast<std::uint16_t>(from)), code, true, {}, read.nonce, "because"});
}

Bytes ScriptedCluster::value_result(std::string_view key, std::string_view value) {
    kvstore::RangeResult result;
    result.items.push_back(
        {bytes_of(key), bytes_of(value), kvstore::Revision(3), kvstore::Revision(3), 1, Hlc(cluster_wall_ms, 0)});
    result.count = 1;
    return kvstore::encode_range_result(result);
}

void ScriptedCluster::answer_read(std::size_t from, const wire::Read& read, const Bytes& result, std::uint64_t executed,
                                  std::uint64_t lock, bool full) {
    answer_query(from, read, {kvstore::Status::ok, result}, executed, lock, full);
}

void ScriptedCluster::answer_query(std::size_t from, const wire::Read& read, const kvstore::QueryAnswer& answer,
                                   std::uint64_t executed, std::uint64_t lock, bool full) {
    const Bytes result = kvstore::encode_query_answer(answer);
    wire::ReadReply reply;
    reply.replica = ReplicaId(static_cast<std::uint16_t>(from));
    reply.nonce = read.nonce;
    reply.digest = crypto::digest_of("read", result);
    if (full && read.want_result) {
        reply.result = result;
    }
    reply.revision = kvstore::Revision(executed * 10);
    reply.executed = Height(executed);
    reply.lock = Height(lock);
    reply.hlc = Hlc(cluster_wall_ms, 0);
    deliver(from, reply);
}

}  // namespace loyal::client::test
