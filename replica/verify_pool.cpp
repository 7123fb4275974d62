#include "replica/verify_pool.h"

#include <utility>

#include "replica/refused_frames.h"
#include "wire/codec.h"

namespace loyal::replica {
namespace {

// Frames of one link that a worker takes at a time.
constexpr std::size_t frames_per_turn = 8;

}  // namespace

VerifyPool::VerifyPool(const consensus::MessageVerifier& verifier, Inbox<VerifyResult>& results, std::size_t threads)
    : verifier_(verifier), results_(results) {
    threads_.reserve(threads);
    for (std::size_t i = 0; i < threads; ++i) {
        threads_.emplace_back([this] { run(); });
    }
}

VerifyPool::~VerifyPool() {
    stop();
}

void VerifyPool::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    ready_.notify_all();
    for (std::thread& thread : threads_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
}

void VerifyPool::submit(VerifyTask task) {
    waiting_.fetch_add(1, std::memory_order_relaxed);
    waiting_bytes_.fetch_add(task.frame.size(), std::memory_order_relaxed);
    {
        const std::lock_guard lock(mutex_);
        const std::uint64_t link = task.link;
        Lane& lane = lanes_[link];
        lane.peer = std::holds_alternative<PeerFrame>(task.author);
        const bool announced = lane.taken || !lane.tasks.empty();
        lane.tasks.push_back(std::move(task));
        if (announced) {
            return;  // it has its turn already, or gets one when its worker comes back
        }
        (lane.peer ? peer_turns_ : client_turns_).push_back(link);
    }
    ready_.notify_one();
}

std::optional<std::uint64_t> VerifyPool::next_lane() {
    const bool client_first = ++turn_ % 4 == 0;
    std::deque<std::uint64_t>& first = client_first ? client_turns_ : peer_turns_;
    std::deque<std::uint64_t>& second = client_first ? peer_turns_ : client_turns_;
    std::deque<std::uint64_t>& turns = first.empty() ? second : first;
    if (turns.empty()) {
        return std::nullopt;
    }
    const std::uint64_t link = turns.front();
    turns.pop_front();
    return link;
}

void VerifyPool::run() {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
        const std::optional<std::uint64_t> link = next_lane();
        if (!link) {
            ready_.wait(lock);
            continue;
        }
        Lane& lane = lanes_[*link];
        lane.taken = true;
        std::vector<VerifyTask> batch;
        while (!lane.tasks.empty() && batch.size() < frames_per_turn) {
            batch.push_back(std::move(lane.tasks.front()));
            lane.tasks.pop_front();
        }
        lock.unlock();
        for (VerifyTask& task : batch) {
            const std::size_t bytes = task.frame.size();
            results_.push(verify(std::move(task)));
            waiting_.fetch_sub(1, std::memory_order_release);
            waiting_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
        }
        lock.lock();
        lane.taken = false;  // references into a std::map stay valid, and a taken lane is never erased by others
        if (lane.tasks.empty()) {
            lanes_.erase(*link);
        } else {
            (lane.peer ? peer_turns_ : client_turns_).push_back(*link);
        }
    }
}

VerifyResult VerifyPool::verify(VerifyTask task) const {
    auto outcome = check(task);
    std::optional<consensus::Evidence> proof;
    if (std::holds_alternative<Error>(outcome) && std::holds_alternative<PeerFrame>(task.author)) {
        proof = proof_in_refused(verifier_, task.frame);
    }
    return {task.link, task.author, task.frame.size(), std::move(outcome), std::move(proof)};
}

std::variant<PeerVerified, EnvelopeVerified, wire::ClientMessage, Error> VerifyPool::check(
    const VerifyTask& task) const {
    if (const auto* peer = std::get_if<PeerFrame>(&task.author)) {
        Result<consensus::PeerMessage> message = wire::decode_peer(verifier_.membership().context, task.frame);
        if (!message) {
            return std::move(message.error());
        }
        Result<PeerVerified> verified = verifier_.verify(std::move(*message), peer->from);
        if (!verified) {
            return std::move(verified.error());
        }
        return std::move(*verified);
    }
    Result<wire::ClientMessage> message = wire::decode_client(task.frame);
    if (!message) {
        return std::move(message.error());
    }
    auto* submit = std::get_if<wire::Submit>(&*message);
    if (submit == nullptr) {
        return std::move(*message);
    }
    Result<EnvelopeVerified> verified =
        verifier_.verify_envelope(std::move(submit->envelope), std::get<ClientFrame>(task.author).client);
    if (!verified) {
        return std::move(verified.error());
    }
    return std::move(*verified);
}

}  // namespace loyal::replica
