#include <spdlog/spdlog.h>

#include <memory>
#include <utility>

#include "config/limits.h"
#include "replica/replica_state.h"
#include "wire/codec.h"

namespace loyal::replica {

void Replica::State::send(consensus::ReplicaId to, const consensus::PeerMessage& message) {
    Bytes frame = wire::encode(message);
    node.outgoing_frame(to, frame);
    leave(to, message, std::make_shared<const Bytes>(std::move(frame)));
}

void Replica::State::leave(consensus::ReplicaId to, const consensus::PeerMessage& message, SharedBytes frame) {
    if (!experiments) {
        peers.send(to, std::move(frame));
        return;
    }
    experiments->trace.sent(to, message, monotonic_us());
    experiments->links.send(to, std::move(frame));
}

void Replica::State::send_each(const std::vector<consensus::ReplicaId>& to, const consensus::PeerMessage& message) {
    const SharedBytes frame = std::make_shared<const Bytes>(wire::encode(message));
    for (const consensus::ReplicaId replica : to) {
        leave(replica, message, frame);
    }
}

void Replica::State::to_client(LinkId link, const wire::ReplicaMessage& message) {
    for (Bytes& frame : wire::encode_frames(message)) {
        SharedBytes shared = std::make_shared<const Bytes>(std::move(frame));
        if (experiments) {
            experiments->links.send(link, std::move(shared));
        } else {
            clients.send(link, std::move(shared));
        }
    }
}

void Replica::State::answer_operator(LinkId link, const wire::ReplicaMessage& message) {
    for (Bytes& frame : wire::encode_frames(message)) {
        clients.send(link, std::make_shared<const Bytes>(std::move(frame)));
    }
}

void Replica::State::persist(consensus::Persist persist) {
    log_writer->write(std::move(persist));
}

void Replica::State::execute(consensus::BlockPtr block) {
    if (executor) {  // otherwise the state is lost, and the core that comes with the next one asks again
        executor->submit(ExecuteTask{std::move(block)});
    }
}

void Replica::State::admit(LinkId link, crypto::Verified<consensus::Envelope> envelope) {
    if (!executor) {
        executor_results.push(AdmitDone{link, std::move(envelope),
                                        fail(Errc::unavailable, "the state of this replica is being recovered")});
        return;
    }
    executor->submit(AdmitTask{link, std::move(envelope)});
}

void Replica::State::read(LinkId link, wire::Read request, consensus::Height lock) {
    const auto client = client_of.find(link);
    if (client == client_of.end()) {
        return;  // closed meanwhile
    }
    if (!executor || executor->waiting() > limits::pending_reads_max) {
        executor_results.push(
            ReadDone{link, std::move(request), lock, fail(Errc::unavailable, "too many reads wait here; ask again")});
        return;
    }
    executor->submit(ReadTask{link, client->second, std::move(request), lock});
}

void Replica::State::read_changes(LinkId link, std::uint64_t ticket, kvstore::ChangeQuery query) {
    const auto client = client_of.find(link);
    if (client == client_of.end() || !executor || executor->waiting() > limits::pending_reads_max) {
        executor_results.push(ChangesDone{ticket, fail(Errc::unavailable, "too many reads wait here"), {}});
        return;
    }
    executor->submit(ChangesTask{client->second, ticket, std::move(query)});
}

std::size_t Replica::State::client_backlog(LinkId link) {
    const Link* target = clients.find(link);
    return target == nullptr ? 0 : target->outbound_bytes();
}

void Replica::State::serve_committed(const consensus::ServeCommitted& request) {
    // One range at a time for each peer: it asks again when it has it.
    if (being_served.insert(request.to).second) {
        background->submit(request);
    }
}

std::uint64_t Replica::State::wall_us() {
    return clock.now_us();
}

void Replica::State::note(const std::string& text) {
    spdlog::info("event=note text=\"{}\"", text);
}

}  // namespace loyal::replica
