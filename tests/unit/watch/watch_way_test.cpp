// The whole way, from the hubs of four replicas to the book of a client, over links that lose, repeat and reorder
// messages and break now and then, with one replica that lies or is mute: what the client hears is at every moment a
// prefix of what was committed, and in the end all of it.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "client/watch_book.h"
#include "tests/unit/watch/watch_world.h"

namespace loyal::test {
namespace {

using client::WatchBook;
using client::WatchNews;
using consensus::ReplicaId;
using kvstore::Change;
using kvstore::Revision;

constexpr std::size_t replicas = 4;
constexpr std::size_t watches = 3;

enum class Traitor { none, mute, liar };

class Way {
 public:
    Way(std::uint64_t seed, Traitor traitor)
        : random_(seed),
          traitor_(traitor),
          book_(consensus::Quorum::of(consensus::FaultModel::byzantine, replicas), small_bounds()) {
        replica::WatchBounds bounds;
        bounds.recent_bytes = random_() % 2 == 0 ? 500 : 1U << 20U;
        for (std::size_t i = 0; i < replicas; ++i) {
            hubs_.push_back(std::make_unique<HubWorld>(log_, bounds));
        }
    }

    void run() {
        for (int step = 0; step < 1'500; ++step) {
            act();
            settle_step(true);
        }
        // No more faults, no more writes: everything comes, soon.
        for (std::size_t i = 0; i < replicas; ++i) {
            hubs_[i]->slow.clear();
        }
        for (int step = 0; step < 12'000 && !complete(); ++step) {
            for (auto& hub : hubs_) {
                hub->execute();
                hub->answer_reads();
            }
            settle_step(false);
        }
        for (std::size_t i = 0; i < watches; ++i) {
            ASSERT_EQ(told_[i].size(), expected(i).size()) << "watch " << i;
        }
    }

 private:
    static client::WatchBounds small_bounds() {
        client::WatchBounds bounds;
        bounds.ahead_bytes = 20'000;
        return bounds;
    }
    [[nodiscard]] bool one_in(std::uint64_t n) { return random_() % n == 0; }
    [[nodiscard]] wire::Watch shape(std::size_t i) const {
        wire::Watch watch;
        watch.begin = bytes_of(i == 0 ? "k1" : "k");
        if (i != 0) {
            watch.end = i == 1 ? bytes_of("k3") : Bytes();
        }
        watch.after = wire::end_of(Revision(i * 3));
        watch.want_previous = i == 2;
        return watch;
    }
    [[nodiscard]] std::vector<Change> expected(std::size_t i) const { return matching(log_.all(), shape(i)); }
    [[nodiscard]] bool complete() const {
        for (std::size_t i = 0; i < watches; ++i) {
            if (told_.at(i).size() != expected(i).size()) {
                return false;
            }
        }
        return true;
    }

    void act() {
        if (step_ == 50) {
            for (std::size_t i = 0; i < watches; ++i) {
                const wire::Watch of = shape(i);
                client::WatchOptions options;
                options.begin = of.begin;
                options.end = of.end;
                options.from = Revision(of.after.revision.value + 1);
                options.want_previous = of.want_previous;
                options.progress_ms = 100;
                told_[i];
                book_.add(
                    client::WatchId(i), options, [this, i](const WatchNews& news) { hear(i, news); }, now_);
            }
        }
        ++step_;
        if (one_in(3)) {
            for (std::uint64_t count = random_() % 3; count > 0; --count) {
                log_.change("k" + std::to_string(random_() % 5), one_in(5) ? "" : "v" + std::to_string(random_()));
            }
            log_.block();
        }
        const std::size_t i = random_() % replicas;
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2: hubs_[i]->execute(); break;
            case 3:
            case 4: hubs_[i]->answer_read(); break;
            case 5:
                if (one_in(4)) {
                    hubs_[i]->slow.contains(links_[i]) ? (void)hubs_[i]->slow.erase(links_[i])
                                                       : (void)hubs_[i]->slow.insert(links_[i]);
                }
                break;
            case 6:
                if (one_in(6)) {
                    disconnect(i);
                }
                break;
            default:
                if (one_in(20)) {
                    hubs_[i]->reads.clear();
                    hubs_[i]->hub.restart();
                }
        }
    }

    void disconnect(std::size_t i) {
        if (up_[i]) {
            hubs_[i]->hub.drop_link(links_[i]);
            book_.disconnected(ReplicaId(static_cast<std::uint16_t>(i)));
            to_client_[i].clear();
            to_hub_[i].clear();
            up_[i] = false;
        }
    }

    void settle_step(bool faulty) {
        now_ += 10;
        for (std::size_t i = 0; i < replicas; ++i) {
            if (!up_[i]) {
                up_[i] = true;
                ++links_[i];
                book_.connected(ReplicaId(static_cast<std::uint16_t>(i)), now_);
            }
            hubs_[i]->tick();
            for (auto& [link, message] : std::exchange(hubs_[i]->told, {})) {
                if (link == links_[i] && !(i == 0 && traitor_ == Traitor::mute)) {
                    push(to_client_[i], i == 0 && traitor_ == Traitor::liar ? lie(message) : message, faulty, 12);
                }
            }
        }
        for (client::Outgoing& out : book_.take_outgoing()) {
            push(to_hub_[out.to.value], out.message, faulty, 0);
        }
        for (std::size_t i = 0; i < replicas; ++i) {
            deliver(i, faulty);
        }
        book_.tick(now_);
        book_.tell_news();
    }

    // `loss`: one in so many is lost; 0: none.
    template <class Queue, class Message>
    void push(Queue& queue, const Message& message, bool faulty, std::uint64_t loss) {
        if (faulty && loss != 0 && one_in(loss)) {
            return;
        }
        queue.push_back(message);
        if (faulty && one_in(15)) {
            queue.push_back(message);
        }
        if (faulty && queue.size() > 1 && one_in(8)) {
            std::swap(queue.back(), queue[random_() % queue.size()]);
        }
    }

    void deliver(std::size_t i, bool faulty) {
        while (!to_hub_[i].empty() && (!faulty || !one_in(3))) {
            const wire::ClientMessage message = std::move(to_hub_[i].front());
            to_hub_[i].pop_front();
            if (const auto* watch = std::get_if<wire::Watch>(&message)) {
                hubs_[i]->hub.ask(links_[i], *watch);
            } else {
                hubs_[i]->hub.unwatch(links_[i], std::get<wire::Unwatch>(message));
            }
        }
        const ReplicaId from(static_cast<std::uint16_t>(i));
        while (!to_client_[i].empty() && (!faulty || !one_in(3))) {
            const wire::ReplicaMessage message = std::move(to_client_[i].front());
            to_client_[i].pop_front();
            if (const auto* events = std::get_if<wire::WatchEvents>(&message)) {
                book_.receive(from, *events, now_);
            } else if (const auto* progress = std::get_if<wire::WatchProgress>(&message)) {
                book_.receive(from, *progress, now_);
            } else {
                book_.receive(from, std::get<wire::WatchEnd>(message), now_);
            }
        }
    }

    [[nodiscard]] wire::ReplicaMessage lie(wire::ReplicaMessage message) {
        if (auto* progress = std::get_if<wire::WatchProgress>(&message)) {
            progress->upto.revision = progress->upto.revision.plus(random_() % 30);
            progress->sent = one_in(10) ? random_() : progress->sent;
        }
        auto* events = std::get_if<wire::WatchEvents>(&message);
        if (events == nullptr) {
            return message;
        }
        if (one_in(20)) {
            return wire::WatchEnd{events->id, events->nonce, events->number, wire::WatchEndReason::compacted,
                                  Revision(random_() % 1'000)};
        }
        if (!events->changes.empty()) {
            switch (random_() % 4) {
                case 0: events->changes.front().now.value = bytes_of("forged"); break;
                case 1: events->changes.erase(events->changes.begin()); break;
                case 2: events->changes.push_back(events->changes.front()); break;
                default: break;
            }
        } else if (one_in(2)) {
            Change invented;
            invented.key = bytes_of("k1");
            invented.now.id = {events->upto.revision.plus(random_() % 5), 0};
            invented.now.version = 1;
            events->upto = std::max(events->upto, invented.now.id);
            events->changes.push_back(invented);
        }
        return message;
    }

    void hear(std::size_t i, const WatchNews& news) {
        ASSERT_NE(news.kind, WatchNews::Kind::ended) << news.why;
        const std::vector<Change> truth = expected(i);
        std::vector<Change>& told = told_[i];
        for (const Change& change : news.changes) {
            ASSERT_LT(told.size(), truth.size());
            ASSERT_EQ(change, truth[told.size()]) << "watch " << i << ", change " << told.size();
            told.push_back(change);
        }
        if (news.kind == WatchNews::Kind::progress && told.size() < truth.size()) {
            ASSERT_LT(news.revision, truth[told.size()].now.id.revision) << "progress passes what was not told";
        }
    }

    std::mt19937_64 random_;
    Traitor traitor_;
    Committed log_;
    std::vector<std::unique_ptr<HubWorld>> hubs_;
    WatchBook book_;
    std::uint64_t now_ = 1'000;
    int step_ = 0;
    std::map<std::size_t, bool> up_;
    std::map<std::size_t, std::uint64_t> links_;
    std::map<std::size_t, std::deque<wire::ReplicaMessage>> to_client_;
    std::map<std::size_t, std::deque<wire::ClientMessage>> to_hub_;
    std::map<std::size_t, std::vector<Change>> told_;
};

void run_seeds(Traitor traitor) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        Way way(seed, traitor);
        way.run();
        ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    }
}

TEST(WatchWay, nothing_is_lost_repeated_or_out_of_order_over_bad_links) {
    run_seeds(Traitor::none);
}
TEST(WatchWay, with_a_mute_replica) {
    run_seeds(Traitor::mute);
}
TEST(WatchWay, with_a_liar) {
    run_seeds(Traitor::liar);
}

}  // namespace
}  // namespace loyal::test
