#include "replica/return_routes.h"

#include <algorithm>

namespace loyal::replica {

void ReturnRoutes::connected(std::uint64_t link, const consensus::ClientId& client) {
    links_[link] = Link{client, false, {}};
    clients_[client].links.push_back(link);
}

void ReturnRoutes::disconnected(std::uint64_t link) {
    const auto found = links_.find(link);
    if (found == links_.end()) {
        return;
    }
    for (const Key& key : found->second.sessions) {
        if (const auto route = routes_.find(key); route != routes_.end() && route->second.link == link) {
            forget(key);
        }
    }
    const auto client = clients_.find(found->second.client);
    std::erase(client->second.links, link);
    if (client->second.links.empty()) {
        clients_.erase(client);
    }
    links_.erase(found);
}

void ReturnRoutes::forget(const Key& key) {
    const auto route = routes_.find(key);
    if (const auto link = links_.find(route->second.link); link != links_.end()) {
        std::erase(link->second.sessions, key);
    }
    least_recent_.erase(route->second.place);
    routes_.erase(route);
}

void ReturnRoutes::used(std::uint64_t link, const consensus::ClientId& client, consensus::SessionId session) {
    const auto known = links_.find(link);
    if (known == links_.end() || known->second.client != client) {
        return;
    }
    const Key key{client, session};
    if (const auto route = routes_.find(key); route != routes_.end()) {
        least_recent_.splice(least_recent_.end(), least_recent_, route->second.place);
        if (route->second.link == link) {
            return;
        }
        if (const auto old = links_.find(route->second.link); old != links_.end()) {
            std::erase(old->second.sessions, key);
        }
        route->second.link = link;
    } else {
        if (routes_.size() >= sessions_max_) {
            forget(Key(least_recent_.front()));
        }
        least_recent_.push_back(key);
        routes_[key] = Route{link, std::prev(least_recent_.end())};
    }
    known->second.used = true;
    known->second.sessions.push_back(key);
}

std::vector<std::uint64_t> ReturnRoutes::links(const consensus::ClientId& client, consensus::SessionId session) const {
    const auto found = clients_.find(client);
    if (found == clients_.end()) {
        return {};
    }
    const auto route = routes_.find(Key{client, session});
    if (route == routes_.end()) {
        return found->second.links;
    }
    std::vector<std::uint64_t> result{route->second.link};
    // Link ids grow, so a larger one was opened later.
    for (const std::uint64_t link : found->second.links) {
        if (link > route->second.link && !links_.at(link).used) {
            result.push_back(link);
        }
    }
    return result;
}

std::optional<consensus::ClientId> ReturnRoutes::client_of(std::uint64_t link) const {
    const auto found = links_.find(link);
    return found == links_.end() ? std::nullopt : std::optional(found->second.client);
}

std::vector<std::uint64_t> ReturnRoutes::all_links() const {
    std::vector<std::uint64_t> result;
    result.reserve(links_.size());
    for (const auto& [link, state] : links_) {
        result.push_back(link);
    }
    return result;
}

}  // namespace loyal::replica
