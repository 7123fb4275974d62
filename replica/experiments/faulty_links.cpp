#include "replica/experiments/faulty_links.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

namespace loyal::replica {
namespace {

using Json = nlohmann::ordered_json;

std::uint64_t now_us() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

Json json_of(Json to, const LinkFault& fault, const LinkFaultCounters& counters) {
    return Json{{"to", std::move(to)},   {"fault", to_string(fault)},   {"frames", counters.frames},
                {"lost", counters.lost}, {"delayed", counters.delayed}, {"duplicated", counters.duplicated}};
}

}  // namespace

FaultyLinks::FaultyLinks(boost::asio::io_context& loop, std::size_t replicas, consensus::ReplicaId self,
                         std::uint64_t seed, std::function<void(const LinkEnd&, SharedBytes)> leave,
                         std::function<void()> flush)
    : self_(self), seed_(seed), leave_(std::move(leave)), flush_(std::move(flush)), timer_(loop) {
    for (std::size_t id = 0; id < replicas; ++id) {
        peers_.emplace_back(seed + id * 0x10001);
    }
}

void FaultyLinks::send(consensus::ReplicaId to, SharedBytes frame) {
    LinkFaults& link = peers_.at(to.value);
    if (link.in_force().none() && held_.empty()) {
        leave_(to, std::move(frame));
        return;
    }
    pass(link, to, std::move(frame));
}

void FaultyLinks::send(ClientLinkId to, SharedBytes frame) {
    if (client_fault_.none() && held_.empty()) {
        leave_(to, std::move(frame));
        return;
    }
    const auto [found, fresh] = clients_.try_emplace(to, seed_ ^ (to << 16U));
    if (fresh) {
        found->second.set(client_fault_);
    }
    const LinkFaultCounters before = found->second.counters();
    pass(found->second, to, std::move(frame));
    const LinkFaultCounters& after = found->second.counters();
    client_counters_.frames += after.frames - before.frames;
    client_counters_.lost += after.lost - before.lost;
    client_counters_.delayed += after.delayed - before.delayed;
    client_counters_.duplicated += after.duplicated - before.duplicated;
}

void FaultyLinks::pass(LinkFaults& link, const LinkEnd& to, SharedBytes frame) {
    const std::uint64_t now = now_us();
    for (const std::uint64_t at : link.depart(now, frame->size())) {
        if (at <= now) {
            leave_(to, frame);
        } else if (held_bytes_ + frame->size() <= held_bytes_max) {
            held_bytes_ += frame->size();
            held_.push({at, next_number_++, to, frame});
        }
    }
    arm();
}

void FaultyLinks::arm() {
    if (held_.empty() || (armed_us_ != 0 && armed_us_ <= held_.top().at_us)) {
        return;
    }
    armed_us_ = held_.top().at_us;
    timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::microseconds(armed_us_)));
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (error) {
            return;  // armed for an earlier moment, or the loop ends
        }
        armed_us_ = 0;
        let_go(false);
        flush_();
        arm();
    });
}

void FaultyLinks::let_go(bool all) {
    const std::uint64_t now = now_us();
    while (!held_.empty() && (all || held_.top().at_us <= now)) {
        const Held next = held_.top();
        held_.pop();
        held_bytes_ -= next.frame->size();
        if (!is_cut(next.to)) {
            leave_(next.to, next.frame);
        }
    }
}

bool FaultyLinks::is_cut(const LinkEnd& to) const {
    const auto* peer = std::get_if<consensus::ReplicaId>(&to);
    return peer != nullptr ? peers_[peer->value].in_force().cut : client_fault_.cut;
}

void FaultyLinks::set(const NetSet& order) {
    if (order.clients) {
        client_fault_ = order.fault;
        for (auto& [id, link] : clients_) {
            link.set(client_fault_);
        }
        return;
    }
    for (std::size_t id = 0; id < peers_.size(); ++id) {
        const bool named =
            order.peers.empty() || std::find(order.peers.begin(), order.peers.end(), id) != order.peers.end();
        if (named && id != self_.value) {
            peers_[id].set(order.fault);
        }
    }
}

void FaultyLinks::heal() {
    set(NetSet{});
    set(NetSet{{}, true, {}});
    let_go(true);
    flush_();
}

std::string FaultyLinks::in_force() const {
    std::string text;
    const auto add = [&text](const std::string& to, const LinkFault& fault) {
        if (!fault.none()) {
            text += (text.empty() ? "net to=" : "; net to=") + to + " " + to_string(fault);
        }
    };
    for (std::size_t id = 0; id < peers_.size(); ++id) {
        // Links with one fault are told together: "net to=1,2 drop=0.3".
        const LinkFault& fault = peers_[id].in_force();
        std::string ids;
        bool told = false;
        for (std::size_t other = 0; other < peers_.size(); ++other) {
            if (peers_[other].in_force() == fault) {
                told = told || other < id;
                ids += (ids.empty() ? "" : ",") + std::to_string(other);
            }
        }
        if (!told) {
            add(ids, fault);
        }
    }
    add("clients", client_fault_);
    return text;
}

std::string FaultyLinks::json() const {
    Json links = Json::array();
    for (std::size_t id = 0; id < peers_.size(); ++id) {
        if (id != self_.value) {
            links.push_back(json_of(id, peers_[id].in_force(), peers_[id].counters()));
        }
    }
    links.push_back(json_of("clients", client_fault_, client_counters_));
    return Json{{"from", self_.value}, {"links", std::move(links)}, {"held_bytes", held_bytes_}}.dump();
}

}  // namespace loyal::replica
