// A cluster of nodes without I/O for directed tests: what a node asks of its port waits until the test lets it go on.
// The executor is a stand-in that answers each operation of an envelope with a chosen result.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/limits.h"
#include "kvstore/operation.h"
#include "replica/node.h"
#include "sim/sim_signer.h"

namespace loyal::replica::test {

using consensus::Height;
using consensus::ReplicaId;
using consensus::View;

inline ReplicaId replica(std::size_t id) {
    return ReplicaId(static_cast<std::uint16_t>(id));
}

struct Cluster {
    explicit Cluster(std::size_t n, consensus::FaultModel model = consensus::FaultModel::byzantine)
        : client_signer(9'000) {
        membership.context = {crypto::digest_of("test", view_of("cluster")), consensus::Epoch(0)};
        membership.fault_model = model;
        for (std::size_t i = 0; i < n; ++i) {
            signers.push_back(std::make_unique<sim::SimSigner>(i + 1));
            signatures.learn(*signers.back());
            membership.replicas.push_back(signers.back()->public_key());
        }
        signatures.learn(client_signer);
        client = consensus::client_id_of(client_signer.public_key());
        membership.clients[client] = client_signer.public_key();
        verifier = std::make_unique<consensus::MessageVerifier>(membership, signatures);
    }
    [[nodiscard]] consensus::Envelope envelope(std::uint64_t seq, std::uint64_t session = 1) const {
        consensus::EnvelopeContent content;
        content.key = client_signer.public_key();
        content.session = consensus::SessionId(session);
        content.seq0 = consensus::Seq(seq);
        content.count = 1;
        content.not_after = consensus::Hlc(std::uint64_t{1} << 47U, std::uint16_t{0});
        content.operations = kvstore::encode_operations({kvstore::Put{bytes_of("k"), bytes_of("v")}});
        const bool crash = membership.fault_model == consensus::FaultModel::crash;
        Bytes bytes = consensus::make_envelope(content, membership.context.cluster_id, membership.context.epoch,
                                               crash ? nullptr : &client_signer);
        return consensus::parse_envelope(std::make_shared<const Bytes>(std::move(bytes))).value();
    }
    [[nodiscard]] crypto::Verified<consensus::Envelope> verified_envelope(std::uint64_t seq,
                                                                          std::uint64_t session = 1) const {
        return verifier->verify_envelope(envelope(seq, session), client).value();
    }

    consensus::Membership membership;
    std::vector<std::unique_ptr<sim::SimSigner>> signers;
    sim::SimSigner client_signer;
    sim::SimVerifier signatures;
    consensus::ClientId client;
    std::unique_ptr<consensus::MessageVerifier> verifier;
};

struct Port final : NodePort {
    struct Admit {
        LinkId link;
        crypto::Verified<consensus::Envelope> envelope;
    };
    struct Read {
        LinkId link;
        wire::Read request;
        Height lock;
    };
    void send(ReplicaId to, const consensus::PeerMessage& message) override { sent.emplace_back(to, message); }
    void to_client(LinkId link, const wire::ReplicaMessage& message) override { told.emplace_back(link, message); }
    void persist(consensus::Persist persist) override { persists.push_back(std::move(persist)); }
    void execute(consensus::BlockPtr block) override { blocks.push_back(std::move(block)); }
    void admit(LinkId link, crypto::Verified<consensus::Envelope> envelope) override {
        admits.push_back({link, std::move(envelope)});
    }
    void read(LinkId link, wire::Read request, Height lock) override {
        reads.push_back({link, std::move(request), lock});
    }
    void read_changes(LinkId, std::uint64_t, kvstore::ChangeQuery) override {}
    void serve_committed(const consensus::ServeCommitted& request) override { serves.push_back(request); }
    void stable(const consensus::Stable&) override {}
    void fetch_state(const consensus::FetchState&) override {}
    void serve_state(consensus::ReplicaId, consensus::StateRequest) override {}
    void state_chunk(consensus::ReplicaId, consensus::StateChunk) override {}
    void accuse(const consensus::Accuse& accusation) override { accusations.push_back(accusation); }
    void note(const std::string& text) override { notes.push_back(text); }
    std::uint64_t wall_us() override { return 0; }

    template <class T>
    [[nodiscard]] std::vector<T> told_to(LinkId link) const {
        std::vector<T> result;
        for (const auto& [to, message] : told) {
            if (const auto* one = std::get_if<T>(&message); one != nullptr && to == link) {
                result.push_back(*one);
            }
        }
        return result;
    }
    template <class T>
    [[nodiscard]] std::vector<T> sent_of() const {
        std::vector<T> result;
        for (const auto& [to, message] : sent) {
            if (const auto* one = std::get_if<T>(&message)) {
                result.push_back(*one);
            }
        }
        return result;
    }

    std::vector<std::pair<ReplicaId, consensus::PeerMessage>> sent;
    std::vector<std::pair<LinkId, wire::ReplicaMessage>> told;
    std::deque<consensus::Persist> persists;
    std::deque<consensus::BlockPtr> blocks;
    std::deque<Admit> admits;
    std::deque<Read> reads;
    std::vector<consensus::ServeCommitted> serves;
    std::vector<std::string> notes;
    std::vector<consensus::Accuse> accusations;
};

struct World {
    explicit World(std::size_t n, consensus::FaultModel model = consensus::FaultModel::byzantine,
                   std::vector<std::string> rules_off = {})
        : cluster(n, model), ports(n), disconnected(n, false) {
        for (std::size_t i = 0; i < n; ++i) {
            NodeOptions options;
            options.core.self = replica(i);
            options.core.rules_off = rules_off;
            options.read_wait_max_ms = 200;
            nodes.push_back(std::make_unique<Node>(options, *cluster.verifier, *cluster.signers[i],
                                                   consensus::Recovered{}, ports[i]));
            nodes.back()->start(wall_ms);
            nodes.back()->end_of_batch();
        }
    }

    void persist_all(std::size_t i) {
        while (!ports[i].persists.empty()) {
            const consensus::PersistId id = ports[i].persists.back().id;
            ports[i].persists.clear();
            nodes[i]->persisted(id);
        }
    }
    // As the executor would: a digest that depends on the block, a short outcome for each operation.
    void execute_one(std::size_t i) {
        const consensus::BlockPtr block = ports[i].blocks.front();
        ports[i].blocks.pop_front();
        kvstore::ExecutedBlock executed;
        executed.height = block->header.height;
        executed.digest = crypto::digest_of("fake", block->id.view());
        executed.hlc = block->header.hlc;
        for (const consensus::Envelope& envelope : block->envelopes) {
            kvstore::Outcome outcome;
            outcome.seq = envelope.seq0;
            outcome.height = block->header.height;
            outcome.result = Bytes(result_bytes, 0x5A);
            executed.replies.push_back({envelope.client, envelope.session, {outcome}});
        }
        nodes[i]->executed(executed);
    }
    void admit_all(std::size_t i) {
        while (!ports[i].admits.empty()) {
            Port::Admit one = std::move(ports[i].admits.front());
            ports[i].admits.pop_front();
            nodes[i]->admitted(one.link, std::move(one.envelope), {});
        }
    }
    // What is not committed yet goes to who asks; these tests need no more.
    void serve_all(std::size_t i) {
        for (const consensus::ServeCommitted& request : std::exchange(ports[i].serves, {})) {
            nodes[i]->served(request.to, request.tail);
        }
    }
    // Lets everything go on, `rounds` times, except for replicas that are cut off.
    void settle(int rounds = 12, bool execute = true) {
        for (int round = 0; round < rounds; ++round) {
            for (std::size_t i = 0; i < nodes.size(); ++i) {
                admit_all(i);
                nodes[i]->end_of_batch();
                persist_all(i);
                while (execute && !ports[i].blocks.empty()) {
                    execute_one(i);
                }
                serve_all(i);
                nodes[i]->end_of_batch();
            }
            deliver();
        }
    }
    void deliver() {
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            auto out = std::exchange(ports[i].sent, {});
            for (auto& [to, message] : out) {
                history.emplace_back(replica(i), message);
                if (disconnected[i] || disconnected[to.value]) {
                    continue;
                }
                auto verified = cluster.verifier->verify(std::move(message), replica(i));
                if (verified) {
                    nodes[to.value]->peer_message(replica(i), std::move(*verified));
                }
            }
        }
    }
    void tick(int times) {
        for (int t = 0; t < times; ++t) {
            wall_ms += 10;
            for (const auto& node : nodes) {
                node->clock(wall_ms);
                node->tick();
            }
            settle(2);
        }
    }

    std::uint64_t wall_ms = 1'700'000'000'000;
    std::size_t result_bytes = 8;
    Cluster cluster;
    std::vector<Port> ports;
    std::vector<bool> disconnected;
    std::vector<std::unique_ptr<Node>> nodes;
    std::vector<std::pair<ReplicaId, consensus::PeerMessage>> history;
};

}  // namespace loyal::replica::test
