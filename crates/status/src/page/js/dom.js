'use strict';
// Descriptions of elements, and their reconciliation with the document. Nodes are updated in place,
// so focus, selection and scroll positions survive a refresh.

const SVG = 'http://www.w3.org/2000/svg';
const $ = (selector) => document.querySelector(selector);

/** Describes an element: `tag.class`, properties if there are any, and children. `null` and `false` are no children. */
function h(name, ...children) {
  const [tag, ...classes] = name.split('.');
  const isPlain = children[0]?.constructor === Object && !children[0].tag;
  const props = { ...(classes.length && { class: classes.join(' ') }), ...(isPlain && children.shift()) };
  return { tag, props, children: children.flat(9).filter((child) => child != null && child !== false) };
}

/** Makes the children of a node as described. Children with a `key` keep their node when they move. */
function render(parent, children) {
  const nodes = new Map();
  for (const node of parent.childNodes) if (node.key) nodes.set(node.key, node);
  const wanted = new Set(children.map((child) => child.props?.key));
  let next = parent.firstChild;
  for (const child of children) {
    while (next?.key && !wanted.has(next.key)) next = removed(next);
    const key = child.props?.key;
    const found = key ? nodes.get(key) : next;
    const node = found && fits(found, child) ? found : create(parent, child);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    update(node, child);
  }
  while (next) next = removed(next);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

const fits = (node, child) => (child.tag ? node.localName === child.tag && node.key === child.props.key : node.nodeType === 3);

function create(parent, child) {
  if (!child.tag) return document.createTextNode('');
  const node = child.tag === 'svg' || parent.namespaceURI === SVG ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  node.key = child.props.key;
  return node;
}

function update(node, child) {
  if (!child.tag) {
    if (node.data !== String(child)) node.data = child;
    return;
  }
  const { props } = child;
  const before = node.props ?? {};
  for (const name in props) if (before[name] !== props[name]) setProperty(node, name, props[name]);
  for (const name in before) if (!(name in props)) setProperty(node, name);
  node.props = props;
  render(node, child.children);
}

function setProperty(node, name, value) {
  if (name.startsWith('on')) node[name] = value ?? null;
  else if (value == null || value === false) node.removeAttribute(name);
  else if (name !== 'key') node.setAttribute(name, value === true ? '' : value);
}

/** A shape of the document, for a state. The word beside it is its text. */
const shape = (name) => h(`svg.shape.${name}`, { 'aria-hidden': 'true' }, h('use', { href: `#${name}` }));
const button = (label, onclick, props) => h('button', { key: label, type: 'button', onclick, ...props }, label);
const link = (label, onclick) => button(label, onclick, { class: 'link' });
